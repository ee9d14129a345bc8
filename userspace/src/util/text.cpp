// SPDX-License-Identifier: Apache-2.0
#include "util/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>

namespace loopwatch {
namespace {

constexpr char32_t invalid = 0xffff'ffff;
constexpr std::string_view replacement = "\xef\xbf\xbd";  // U+FFFD

struct Character {
    char32_t code = invalid;
    std::size_t size = 1;
};

// The first character of a text that is not empty, after RFC 3629: no overlong forms, no surrogates, nothing above
// U+10FFFF.
Character decode(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return {first, 1};
    const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < size) return {};
    char32_t code = first & (0x7fu >> size);
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return {};
        code = code << 6 | (byte(i) & 0x3fu);
    }
    const bool overlong = (size == 3 && code < 0x800) || (size == 4 && code < 0x10000);
    if (overlong || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return {};
    return {code, size};
}

struct Range {
    char32_t first, last;
};

// Unicode 15: Cc, the Bidi_Control property, zero-width and tag characters, line and paragraph separators.
constexpr std::array harmful{
    Range{0x00, 0x1f},     Range{0x7f, 0x9f},     Range{0xad, 0xad},       Range{0x61c, 0x61c},
    Range{0x180e, 0x180e}, Range{0x200b, 0x200f}, Range{0x2028, 0x202e},   Range{0x2060, 0x206f},
    Range{0xfeff, 0xfeff}, Range{0xfff9, 0xfffb}, Range{0xe0000, 0xe007f},
};

bool is_harmful(char32_t code)
{
    return std::any_of(harmful.begin(), harmful.end(), [&](Range r) { return code >= r.first && code <= r.last; });
}

template <class Escape>
std::string rewrite(std::string_view text, Escape escape)
{
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        // Nearly all of nearly every text: what needs no look at all.
        const auto plain = std::find_if(text.begin(), text.end(), [](char c) { return c < 0x20 || c == 0x7f; });
        out.append(text.begin(), plain);
        text.remove_prefix(static_cast<std::size_t>(plain - text.begin()));
        if (text.empty()) break;
        const Character character = decode(text);
        if (character.code == invalid) {
            out += replacement;
        } else if (!escape(character.code, out)) {
            out += text.substr(0, character.size);
        }
        text.remove_prefix(character.size);
    }
    return out;
}

}  // namespace

std::string sanitize_utf8(std::string_view text)
{
    return rewrite(text, [](char32_t, std::string&) { return false; });
}

std::string escape_terminal(std::string_view text)
{
    return rewrite(text, [](char32_t code, std::string& out) {
        if (!is_harmful(code)) return false;
        switch (code) {
            case '\n': out += "\\n"; break;
            case '\t': out += "\\t"; break;
            case '\r': out += "\\r"; break;
            default:
                if (code < 0x80) {
                    fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<std::uint32_t>(code));
                } else {
                    fmt::format_to(std::back_inserter(out), "\\u{{{:x}}}", static_cast<std::uint32_t>(code));
                }
        }
        return true;
    });
}

std::string escape_json(std::string_view json)
{
    return rewrite(json, [](char32_t code, std::string& out) {
        if (!is_harmful(code)) return false;
        const auto unit = [&](std::uint32_t value) { fmt::format_to(std::back_inserter(out), "\\u{:04x}", value); };
        if (code < 0x10000) {
            unit(code);
        } else {
            unit(0xd7c0 + (code >> 10));
            unit(0xdc00 + (code & 0x3ff));
        }
        return true;
    });
}

std::string counted(std::uint64_t count, std::string_view what)
{
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string format_bytes(std::uint64_t bytes)
{
    if (bytes < 1024) return fmt::format("{} B", bytes);
    auto amount = static_cast<double>(bytes) / 1024;
    const char* unit = "KiB";
    for (const char* larger : {"MiB", "GiB", "TiB"}) {
        if (amount < 1024) break;
        amount /= 1024;
        unit = larger;
    }
    return fmt::format("{:.{}f} {}", amount, amount < 9.95 ? 1 : 0, unit);
}

}  // namespace loopwatch
