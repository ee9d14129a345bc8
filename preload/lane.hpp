// SPDX-License-Identifier: Apache-2.0
//
// How records get into the calling thread's lane: room is reserved, written, appended, and exists for the reader once
// it is published. What is not published yet is the lane's draft.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lw_ring.h"
#include "ring.hpp"

namespace loopwatch::preload {

// Of a lane: only records that end a dispatch, and sums of calls, are written there. Without them a finding would be
// missing, or have times that are not so. Room for 72 of them.
constexpr std::uint32_t spare_bytes = 64u << 10;

// A child of vfork has its parent's memory, and must not write into its ring.
bool is_ours();
// Is there room for a record of this size, and `spare` more?
bool has_room(const lw_lane& lane, std::uint32_t bytes, std::uint32_t spare);
// Room for one more record, in one piece; null: there is none, which is counted. It is part of the lane once `append`
// has been told how much of it.
unsigned char* reserve(lw_lane& lane, std::uint32_t bytes, std::uint64_t& head);
void append(lw_lane& lane, std::uint64_t head, std::uint32_t bytes);
void publish(lw_lane& lane);
// Calls from now on get records of their own, even of a place that has one.
void forget_sites();
// What was written of a dispatch that was not slow.
void forget_calls(lw_lane& lane);

// A text of the program's, cut off; it may be unreadable.
void copy_text(char* to, std::size_t bytes, const char* from);

lw_event event_of(const lw_lane& lane, const lw_loop_slot& slot, lw_event_kind kind, std::uint64_t seq);
lw_dispatch dispatch_record(const lw_lane& lane, const lw_loop_slot& slot, const Dispatch& dispatch, bool slow);

}  // namespace loopwatch::preload
