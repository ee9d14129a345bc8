// SPDX-License-Identifier: Apache-2.0
//
// What most samples of one callback have in common: its own functions from the callback inwards, as far as two thirds
// of the time were spent below them. The innermost function of a single sample is chance: of one burning callback it is
// another one each time.
#pragma once

#include <span>
#include <vector>

#include "analysis/facts.hpp"

namespace loopwatch {

// Innermost first, a frame a function. A function that calls itself, in whatever way, is there once, and a lambda
// counts as the function that it is written in if that called it. Empty: most samples share no function of the
// program's own.
std::vector<Frame> shared_path(std::span<const SampleFacts> samples);

}  // namespace loopwatch
