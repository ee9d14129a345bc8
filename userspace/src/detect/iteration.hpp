// SPDX-License-Identifier: Apache-2.0
//
// What is wrong with an iteration of a loop without probes, once its stacks are unwound: by then all places where it
// waited have been judged, some of them only after it had been timed.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/facts.hpp"
#include "analysis/wait_sites.hpp"
#include "collect/observation.hpp"

namespace loopwatch {

enum class Iteration {
    real,    // one, and its facts are right now: what lies behind its end is taken out of them
    none,    // short ones that were taken for one, or code that the loop has returned to
    unclear  // two or more that nobody could tell apart, and one of them may have been slow: a loss
};

// The iterations that one turns out to be, as far as they are to be told: itself alone, most often.
// `before`: what its thread did before it is among the facts, and that much of it in sums.
std::vector<DispatchFacts> part_iteration(DispatchFacts facts, const WaitSites& sites, const TimeOff* before = nullptr);

// In each stack of it.
void mark_loop(DispatchFacts& facts, const WaitSites& sites);

// What a thread does once its loop has returned to main, such as to clean up, holds up no loop. Removes it from the
// last iteration of a thread. False: one that is in progress has come to it, and is none. Of one that has ended the
// thread has returned to its loop, which is noted: main runs it step by step.
bool remove_after_loop(DispatchFacts& facts, WaitSites& sites);

Iteration judge_iteration(DispatchFacts& facts, WaitSites& sites);

}  // namespace loopwatch
