// SPDX-License-Identifier: Apache-2.0
//
// Parts of the wire format as observations, for this folder. What a record says about counts and texts is held to their
// bounds here; the sizes of whole records are decode()'s concern.
#pragma once

#include <lw_state.h>

#include <cstdint>
#include <span>
#include <vector>

#include "collect/observation.hpp"

namespace loopwatch {

EventHead event_head(const lw_event& raw);
Registers registers_of(const lw_registers& raw);
RawStack raw_stack(const lw_stack& raw, std::span<const std::uint8_t> bytes);
TaskSnapshot task_snapshot(const lw_task_view& raw);
CoroutineResume coroutine_resume(const lw_resume& raw);
DispatchEvent dispatch_event(const lw_dispatch& raw);
// `stack`: the bytes behind the record.
SourceEvent source_event(const lw_source& raw, std::span<const std::uint8_t> stack);
// Without its places.
OngoingDispatch ongoing_dispatch(const lw_loop& raw);
SleepingThread sleeping_thread(const lw_sleeper& raw);

// Does it wait for a set of descriptors, as select does?
bool selects(std::int64_t syscall);
// Of what a poll or select was handed.
std::vector<std::uint64_t> polled_descriptors(std::int64_t syscall, std::span<const std::uint8_t> bytes);

}  // namespace loopwatch
