// SPDX-License-Identifier: Apache-2.0
//
// What a thread does before it is known to run a loop. It has waited for events, but too few times in one place: its
// calls, and where and when it waited, are kept as a draft in a lane of its own (a candidate's). Once a place has
// recurred that draft becomes iterations, from one wait in that place to the next, and is published. If none ever does,
// the collector says how much was held back.
#pragma once

#include <cstdint>

#include "own_loops.hpp"
#include "ring.hpp"

namespace loopwatch::preload {

constexpr std::uint32_t held_bytes =
    LW_LANE_BYTES / 2;  // of a draft: 15 calls with whole stacks, hundreds with short ones

// About to wait for events, or to park without a collector that could be asked about it.
void begin_early_wait(lw_lane& lane, const Place& place);
// About to park: no time of a callback as far as is known, and no place between two iterations either.
void begin_early_park(lw_lane& lane);
// A call was written into the draft.
void hold_call(lw_lane& lane, bool is_long);
// There is no room: not before its loop is known.
void stop_measuring_candidate();
// The lane becomes the loop's that waits in this place.
void publish_early_waits(lw_lane& lane, const Place& idle);

}  // namespace loopwatch::preload
