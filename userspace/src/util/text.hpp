// SPDX-License-Identifier: Apache-2.0
//
// Strings of the target are hostile: thread names, paths, task names may hold broken UTF-8, escape sequences that
// rewrite the operator's terminal, or marks that reverse the reading order. These functions make them safe to show;
// none of them fails.
#pragma once

#include <string>
#include <string_view>

namespace loopwatch {

// Valid UTF-8: each byte that belongs to no character becomes U+FFFD.
std::string sanitize_utf8(std::string_view text);

// One line of harmless characters: control characters (C0, DEL, C1), bidirectional marks, invisible characters and line
// separators become visible, "\n", "\x1b", "\u{202e}"; broken UTF-8 becomes U+FFFD.
std::string escape_terminal(std::string_view text);

// The same characters, in finished JSON text, as \uXXXX: the value stays what it is, but a terminal shows it
// harmlessly.
std::string escape_json(std::string_view json);

// What stands behind the last slash of a path; all of it, if it has none.
inline std::string_view base_name(std::string_view path)
{
    return path.substr(path.rfind('/') + 1);
}

// "1 frame", "2 frames".
std::string counted(std::uint64_t count, std::string_view what);

// "512 B", "1.5 KiB", "64 KiB".
std::string format_bytes(std::uint64_t bytes);

}  // namespace loopwatch
