// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <set>

#include "output/record_json.hpp"
#include "output/record_reader.hpp"

#include "sample_records.hpp"

using namespace loopwatch;
using json::Json;

namespace {

std::vector<std::string> lines_of(const std::vector<Report>& reports, StackInterning* stacks)
{
    std::string text;
    for (const auto& report : reports) append_lines(report, samples::context(), text, stacks);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = text.find('\n', at);
        lines.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

std::vector<Json> read_all(const std::vector<std::string>& lines)
{
    RecordReader reader;
    std::vector<Json> records;
    for (const auto& line : lines) {
        auto record = reader.read(line);
        REQUIRE(record);
        if (*record) records.push_back(std::move(**record));
    }
    return records;
}

std::vector<Report> slow_callbacks(int count)
{
    std::vector<Report> all;
    for (const auto& report : samples::session()) {
        const auto* findings = std::get_if<Findings>(&report);
        if (findings && findings->slow)
            for (int i = 0; i < count; ++i) all.push_back(report);
        if (!all.empty()) break;
    }
    return all;
}

}  // namespace

TEST_CASE("records with interned stacks read as those with inline ones")
{
    StackInterning stacks;
    const auto inline_lines = lines_of(samples::session(), nullptr);
    const auto interned = lines_of(samples::session(), &stacks);
    CHECK(interned.size() > inline_lines.size());
    const auto records = read_all(interned), expected = read_all(inline_lines);
    REQUIRE(records.size() == expected.size());
    for (std::size_t i = 0; i < records.size(); ++i) CHECK(records[i].dump() == expected[i].dump());
}

TEST_CASE("a stack is written once, before the first record that names it")
{
    StackInterning stacks;
    const auto lines = lines_of(slow_callbacks(3), &stacks);
    std::set<std::string> written;
    for (const auto& line : lines) {
        const auto record = Json::parse(line);
        if (record["type"] == "stack") {
            CHECK(written.insert(record["stack_id"]).second);
            CHECK(record["frames"].is_array());
        } else if (record.contains("stack_id")) {
            CHECK(written.contains(record["stack_id"]));
            CHECK_FALSE(record.contains("stack"));
        }
    }
    CHECK_FALSE(written.empty());
    const auto first = lines_of(slow_callbacks(1), nullptr);
    CHECK(lines.back().size() < first.back().size() * 2 / 3);
}

TEST_CASE("what is no record is refused, and the next line is read")
{
    RecordReader reader;
    CHECK(reader.read("{\"type\": ").error().what == "a line is no JSON object");
    CHECK(reader.read("[]").error().what == "a line is no JSON object");
    CHECK(reader.read(R"({"type":"warning"})").error().what == "a line is no record of schema loopwatch/1");
    const auto unknown =
        reader.read(R"({"schema":"loopwatch/1","type":"slow_callback","stack_id":"00000000000000ab"})");
    CHECK(unknown.error().what == "a record names a stack that was not written before it");
    CHECK(reader.read(R"({"schema":"loopwatch/1","type":"stack","stack_id":"00000000000000ab"})").error().what ==
          "a stack record has no stack_id or no frames");
    REQUIRE(reader.read(
        R"({"schema":"loopwatch/1","type":"stack","stack_id":"00000000000000ab","frames":[{"function":"f"}]})"));
    const auto known =
        reader.read(R"({"schema":"loopwatch/1","type":"slow_callback","sources":[{"stack_id":"00000000000000ab"}]})");
    REQUIRE(known);
    CHECK((**known)["sources"][0]["stack"][0]["function"] == "f");
}
