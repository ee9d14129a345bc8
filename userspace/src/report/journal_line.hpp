// SPDX-License-Identifier: Apache-2.0
//
// Lines of the journal. A record becomes a line of it by two fields in front, seq and instance, which are spliced into
// its text: {"seq":7,"instance":"UUID","schema":… A segment begins with a line of its own, which has no seq.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace loopwatch {

// What the two fields add to a line, at most.
inline constexpr std::size_t numbering_bytes = 80;

// Appends the line with its number, and a newline. `line`: one JSON object with or without its newline. False: it is
// none, and nothing is appended.
bool append_numbered(std::string_view line, std::uint64_t seq, std::string_view instance, std::string& to);

// The number of a line; none: it is no numbered line.
std::optional<std::uint64_t> number_of(std::string_view line);
// first_seq of a segment's own line; none: it is no such line.
std::optional<std::uint64_t> first_number_of(std::string_view line);
// Is it a stack, which later lines of the segment name?
bool is_stack_line(std::string_view line);

// Calls `take` with each line, without its newline.
template <class Take>
void for_each_line(std::string_view text, const Take& take)
{
    while (!text.empty()) {
        const auto end = text.find('\n');
        take(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
}

}  // namespace loopwatch
