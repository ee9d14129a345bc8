// SPDX-License-Identifier: Apache-2.0
//
// The output compared with the files beside this one. LOOPWATCH_UPDATE_GOLDEN=1 writes them anew; read the diff before
// committing.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>

#include "../unit/temporary_directory.hpp"
#include "output/text_encoder.hpp"
#include "sample_records.hpp"

using namespace loopwatch;

namespace {

std::string ndjson(const std::vector<Report>& reports)
{
    std::string lines;
    for (const auto& report : reports) append_lines(report, samples::context(), lines);
    return lines;
}

std::string text(const std::vector<Report>& reports)
{
    TextEncoder encoder({false, false, false, samples::context().anchor});
    std::string lines;
    for (const auto& report : reports) encoder.encode(report, lines);
    return lines;
}

void compare(const std::string& file, const std::string& actual)
{
    const std::string path = std::string(GOLDEN_DIRECTORY) + "/" + file;
    if (std::getenv("LOOPWATCH_UPDATE_GOLDEN") != nullptr) {
        std::ofstream(path, std::ios::binary) << actual;
    }
    INFO(path);
    const std::string expected = content(path);
    REQUIRE_FALSE(expected.empty());
    CHECK(actual == expected);
}

}  // namespace

TEST_CASE("a session's records are the golden NDJSON")
{
    compare("session.ndjson", ndjson(samples::session()));
}

TEST_CASE("a hostile target's strings are the golden NDJSON")
{
    const std::string lines = ndjson(samples::hostile());
    compare("hostile.ndjson", lines);
    // Also when the file is wrong: nothing but line ends and plain ASCII controls-free text.
    for (const char c : lines) {
        const auto byte = static_cast<unsigned char>(c);
        CHECK((c == '\n' || (byte >= 0x20 && byte != 0x7f)));
    }
    CHECK(lines.find("\xc2\x9b") == lines.npos);
    CHECK(lines.find("\u202e") == lines.npos);
}

TEST_CASE("a session's report is the golden text")
{
    compare("session.txt", text(samples::session()));
}

TEST_CASE("a hostile target's strings are the golden text")
{
    const std::string lines = text(samples::hostile());
    compare("hostile.txt", lines);
    CHECK(lines.find('\x1b') == lines.npos);
    CHECK(lines.find("\u202e") == lines.npos);
}
