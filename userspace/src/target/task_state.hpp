// SPDX-License-Identifier: Apache-2.0
//
// What the numbers mean that a target has in the records of its tasks.
#pragma once

#include <cstdint>

namespace loopwatch {

enum class TaskState : std::uint32_t { created, running, suspended, ready, finished, unknown };

// What a suspended task waits for, other than a task.
enum class AwaitedKind : std::uint32_t { other, timer, io, event, mutex, channel, executor, semaphore };

enum class TaskOutcome : std::uint32_t { result, exception, cancelled, swallowed, unknown };

// Of enum lw_task_state, lw_awaited_kind and lw_outcome. Any other number is unknown, or other.
TaskState task_state(std::uint32_t raw);
AwaitedKind awaited_kind(std::uint32_t raw);
TaskOutcome task_outcome(std::uint64_t raw);

}  // namespace loopwatch
