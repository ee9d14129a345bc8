// SPDX-License-Identifier: Apache-2.0
#include "util/glob.hpp"

#include <algorithm>
#include <cstddef>

namespace loopwatch {

namespace {

constexpr std::size_t longest_glob = 512;
constexpr auto no_end = std::string_view::npos;

// The size of the bracket that begins at `at`; no_end: it is not closed. A "]" that comes first is a member.
std::size_t bracket_size(std::string_view pattern, std::size_t at)
{
    auto i = at + 1;
    if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) ++i;
    if (i < pattern.size() && pattern[i] == ']') ++i;
    for (; i < pattern.size() && pattern[i] != ']'; ++i)
        if (pattern[i] == '\\') ++i;
    return i < pattern.size() ? i + 1 - at : no_end;
}

// `bracket`: with its "[" and "]".
bool bracket_has(std::string_view bracket, char c)
{
    auto members = bracket.substr(1, bracket.size() - 2);
    const bool inverted = members.starts_with('!') || members.starts_with('^');
    if (inverted) members.remove_prefix(1);
    const auto take = [&members] {
        if (members.size() > 1 && members.front() == '\\') members.remove_prefix(1);
        const auto member = static_cast<unsigned char>(members.front());
        members.remove_prefix(1);
        return member;
    };
    const auto wanted = static_cast<unsigned char>(c);
    bool has = false;
    while (!members.empty()) {
        const auto first = take();
        auto last = first;
        if (members.size() > 1 && members.front() == '-') {
            members.remove_prefix(1);
            last = take();
        }
        has = has || (wanted >= first && wanted <= last);
    }
    return has != inverted;
}

// How much of the pattern at `at` one character uses up; 0: it does not match.
std::size_t match_one(std::string_view pattern, std::size_t at, char c)
{
    switch (pattern[at]) {
        case '?': return 1;
        case '[': {
            const auto size = bracket_size(pattern, at);
            return size != no_end && bracket_has(pattern.substr(at, size), c) ? size : 0;
        }
        case '\\': return at + 1 < pattern.size() && pattern[at + 1] == c ? 2 : 0;
        default: return pattern[at] == c ? 1 : 0;
    }
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text)
{
    // What lies before the latest "*" is settled: only that one is tried with more characters.
    std::size_t at = 0, star = no_end, tried = 0;
    for (std::size_t i = 0; i < text.size();) {
        if (at < pattern.size() && pattern[at] == '*') {
            star = at++;
            tried = i;
            continue;
        }
        const auto used = at < pattern.size() ? match_one(pattern, at, text[i]) : 0;
        if (used != 0) {
            at += used;
            ++i;
        } else if (star == no_end) {
            return false;
        } else {
            at = star + 1;
            i = ++tried;
        }
    }
    return std::all_of(pattern.begin() + static_cast<std::ptrdiff_t>(at), pattern.end(),
                       [](char c) { return c == '*'; });
}

std::optional<std::string> glob_problem(std::string_view pattern)
{
    if (pattern.empty()) return "is empty";
    if (pattern.size() > longest_glob) return "is longer than 512 bytes";
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] == '\\') {
            if (++i == pattern.size()) return "ends with \\";
            continue;
        }
        if (pattern[i] != '[') continue;
        const auto size = bracket_size(pattern, i);
        if (size == no_end) return "has a [ without its ]";
        i += size - 1;
    }
    return std::nullopt;
}

}  // namespace loopwatch
