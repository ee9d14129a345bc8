// SPDX-License-Identifier: Apache-2.0
//
// The name that was probably meant, of those that exist.
#pragma once

#include <span>
#include <string_view>

namespace loopwatch {

// The one with the fewest insertions, deletions, replacements and swaps of neighbours between it and `word`; empty:
// none is within a third of the word's length (at least 1).
std::string_view nearest_name(std::string_view word, std::span<const std::string_view> names);

}  // namespace loopwatch
