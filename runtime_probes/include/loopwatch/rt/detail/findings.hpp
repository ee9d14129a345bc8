// SPDX-License-Identifier: Apache-2.0
//
// What is told of tasks and loops, and to whom: the probes for who is attached, the handler in debug mode. All of it is
// rare, and out of line.
#pragma once

#include <atomic>
#include <exception>
#include <memory>

#include <loopwatch/loop_state.h>
#include <loopwatch/probe.hpp>
#include <loopwatch/rt/registry.hpp>

namespace loopwatch::detail {

// Is anybody there to be told of misuse?
inline bool watched() noexcept
{
    return probe::watched() && !forked;
}
// Also of what needs bookkeeping to find?
inline bool debugged() noexcept
{
    return probe::debugged() && !forked;
}

void tell_destroyed_pending(const lw_task& task) noexcept;
// `called_from` null: not known.
void tell_never_awaited(const lw_frame& frame, const lw_backtrace* called_from) noexcept;
// Within the process always, whoever is attached.
void tell_unretrieved(const lw_task& task, std::exception_ptr error) noexcept;
void tell_cancelled(const lw_task& task, lw_outcome outcome) noexcept;
// In debug mode within the process only, no probe. `what`: a task or a handle that was used up.
void report_reuse(const char* what) noexcept;
void tell_deadlock(const lw_task& task, const lw_task& awaited, lw_u64 length) noexcept;
void tell_thread_violation(const lw_loop_slot& slot, const char* operation) noexcept;
// `fd` -1 and `stack` null: it has none.
void tell_leak(const lw_loop_slot& slot, const char* kind, const lw_location* opened, int fd = -1,
               const lw_backtrace* stack = nullptr) noexcept;
void tell_slow_poll(const lw_loop_slot& slot, lw_u64 timeout_ns, lw_u64 elapsed_ns, lw_u64 events) noexcept;
// To the handler only: the probe is fired by the loop.
void tell_slow_dispatch(const lw_task* task, const lw_location* resume, lw_u64 elapsed_ns) noexcept;

// Reads LOOPWATCH_DEBUG, once.
void read_debug_environment() noexcept;
// Who is calling: return addresses; null if there is no memory.
std::unique_ptr<const lw_backtrace> capture_backtrace() noexcept;

}  // namespace loopwatch::detail
