// SPDX-License-Identifier: Apache-2.0
//
// Shell patterns over texts that other processes chose: *, ?, [a-z], [!a-z] and \ as fnmatch(3) without flags has them
// ("/" is an ordinary character), by bytes, in pattern × text steps at most. glibc's own follows the locale, refuses
// texts that are no valid characters in it, and recurses on each "*".
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace loopwatch {

// A pattern with a bracket that is not closed, or a \ at its end, matches nothing.
bool glob_matches(std::string_view pattern, std::string_view text);

// What is wrong with a pattern: empty, a bracket not closed, nothing behind \, more than 512 bytes. None: it is right.
std::optional<std::string> glob_problem(std::string_view pattern);

}  // namespace loopwatch
