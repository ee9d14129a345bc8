// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "util/log.hpp"
#include "util/text.hpp"

using namespace loopwatch;
using namespace std::string_literals;

TEST_CASE("bytes that are no UTF-8 become the replacement character, one each")
{
    const std::pair<std::string, std::string> cases[] = {
        {"plain", "plain"},
        {"größe → 漢字 😀", "größe → 漢字 😀"},
        {"a\xff"
         "b",
         "a\ufffdb"},
        {"\xc0\xaf", "\ufffd\ufffd"},                      // overlong '/'
        {"\xe0\x80\xaf", "\ufffd\ufffd\ufffd"},            // overlong '/'
        {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},            // a surrogate
        {"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},  // above U+10FFFF
        {"cut \xe6\xbc", "cut \ufffd\ufffd"},
        {"\x80", "\ufffd"},
        {"nul\0in it"s, "nul\0in it"s},
    };
    for (const auto& [text, expected] : cases) {
        CAPTURE(text);
        CHECK(sanitize_utf8(text) == expected);
    }
}

TEST_CASE("nothing that a terminal acts upon survives")
{
    const std::pair<std::string, std::string> cases[] = {
        {"größe → 漢字 😀", "größe → 漢字 😀"},
        {"\x1b[2J\x1b]0;owned\x07", "\\x1b[2J\\x1b]0;owned\\x07"},
        {"a\nb\tc\rd", "a\\nb\\tc\\rd"},
        {"nul\0"s, "nul\\x00"},
        {"del\x7f", "del\\x7f"},
        {"8-bit CSI \xc2\x9b"
         "31m",
         "8-bit CSI \\u{9b}31m"},
        {"raw CSI \x9b"
         "31m",
         "raw CSI \ufffd31m"},
        {"user\u202e"
         "gpj.exe",
         "user\\u{202e}gpj.exe"},
        {"isolate\u2066", "isolate\\u{2066}"},
        {"zero\u200bwidth", "zero\\u{200b}width"},
        {"line\u2028", "line\\u{2028}"},
        {"tag\U000e0041", "tag\\u{e0041}"},
        {"back\\slash", "back\\slash"},
    };
    for (const auto& [text, expected] : cases) {
        CAPTURE(expected);
        CHECK(escape_terminal(text) == expected);
    }
}

TEST_CASE("JSON text keeps its value and loses its teeth")
{
    CHECK(escape_json("{\"a\":\"größe\"}") == "{\"a\":\"größe\"}");
    CHECK(escape_json("\"\u202e\xc2\x9b\x7f\"") == "\"\\u202e\\u009b\\u007f\"");
    CHECK(escape_json("\"\U000e0041\"") == "\"\\udb40\\udc41\"");
}

TEST_CASE("bytes are told with two digits at least")
{
    CHECK(format_bytes(0) == "0 B");
    CHECK(format_bytes(1023) == "1023 B");
    CHECK(format_bytes(1536) == "1.5 KiB");
    CHECK(format_bytes(16384) == "16 KiB");
    CHECK(format_bytes(3u << 30) == "3.0 GiB");
}

TEST_CASE("an error is one line, with its hint, and cannot smuggle escapes")
{
    CHECK(error_line({ExitCode::failed, "disk full", ""}) == "loopwatch: disk full");
    CHECK(error_line({ExitCode::usage, "\"10\" has no unit", "did you mean 10ms?"}) ==
          "loopwatch: \"10\" has no unit (hint: did you mean 10ms?)");
    CHECK(error_line({ExitCode::failed, "comm \x1b[2J\n", ""}) == "loopwatch: comm \\x1b[2J\\n");
}
