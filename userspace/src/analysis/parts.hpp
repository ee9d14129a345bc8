// SPDX-License-Identifier: Apache-2.0
//
// The parts of a dispatch: what the scheduler saw and what the shim timed, brought together so that each wait appears
// once, under the name a person knows it by, with the kernel's facts about it.
#pragma once

#include <vector>

#include "analysis/source.hpp"

namespace loopwatch {

// Why nothing more is known of a source: its argument "reason".
inline constexpr std::string_view cpu_or_wait = "on CPU, waiting for one, or in short calls",
                                  not_recorded = "not recorded", before_session = "before the session";

// The call in which a wait of [start_ns, end_ns] happened; nullptr: none the shim timed.
const CallFacts* covering_call(const DispatchFacts& facts, std::uint64_t start_ns, std::uint64_t end_ns);

// Sums to the dispatch's duration. Waits longer than the dispatch are cut; the rest is CPU time, or, without the
// scheduler's view, `other`.
Breakdown breakdown_of(const DispatchFacts& facts);

// By cost. They do not overlap: a call's time is what it blocked, as often as it did; a call of the shim in which the
// scheduler saw no wait is CPU time. Kinds cpu, run_queue, stopped and waits of unknown place appear from 5 % of the
// dispatch on (cpu: and from 1 ms on).
std::vector<Source> sources_of(const DispatchFacts& facts, const Breakdown& breakdown);

}  // namespace loopwatch
