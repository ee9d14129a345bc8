// SPDX-License-Identifier: Apache-2.0
//
// How records get into the calling thread's lane: room is reserved, written, appended, and exists for the reader once
// it is published. What is not published yet is the lane's draft.
#pragma once

#include <cstdint>

#include "lw_ring.h"
#include "ring.hpp"

namespace loopwatch::preload {

// Room for one more record, in one piece; null: there is none. It is part of the lane once `append` has been told how
// much of it.
unsigned char* reserve(lw_lane& lane, std::uint32_t bytes, std::uint64_t& head);
void append(lw_lane& lane, std::uint64_t head, std::uint32_t bytes);
void publish(lw_lane& lane);
// What was written of a dispatch that was not slow.
void forget_calls(lw_lane& lane);

lw_event event_of(const lw_lane& lane, const lw_loop_slot& slot, lw_event_kind kind, std::uint64_t seq);
lw_dispatch dispatch_record(const lw_lane& lane, const lw_loop_slot& slot, const Dispatch& dispatch, bool slow);

}  // namespace loopwatch::preload
