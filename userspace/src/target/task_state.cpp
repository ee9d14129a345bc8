// SPDX-License-Identifier: Apache-2.0
#include "target/task_state.hpp"

#include <loopwatch/loop_state.h>

namespace loopwatch {

namespace {

// Ours have the numbers of the C ABI.
template <class Own>
constexpr bool same(Own own, auto raw)
{
    return static_cast<std::uint32_t>(own) == static_cast<std::uint32_t>(raw);
}

static_assert(same(TaskState::created, LW_TASK_CREATED) && same(TaskState::running, LW_TASK_RUNNING) &&
              same(TaskState::suspended, LW_TASK_SUSPENDED) && same(TaskState::ready, LW_TASK_READY) &&
              same(TaskState::finished, LW_TASK_FINISHED));
static_assert(same(AwaitedKind::other, LW_AWAITED_OTHER) && same(AwaitedKind::timer, LW_AWAITED_TIMER) &&
              same(AwaitedKind::io, LW_AWAITED_IO) && same(AwaitedKind::event, LW_AWAITED_EVENT) &&
              same(AwaitedKind::mutex, LW_AWAITED_MUTEX) && same(AwaitedKind::channel, LW_AWAITED_CHANNEL) &&
              same(AwaitedKind::executor, LW_AWAITED_EXECUTOR) && same(AwaitedKind::semaphore, LW_AWAITED_SEMAPHORE));
static_assert(same(TaskOutcome::result, LW_OUTCOME_RESULT) && same(TaskOutcome::exception, LW_OUTCOME_EXCEPTION) &&
              same(TaskOutcome::cancelled, LW_OUTCOME_CANCELLED) && same(TaskOutcome::swallowed, LW_OUTCOME_SWALLOWED));

template <class Own>
Own own_of(std::uint64_t raw, Own last, Own otherwise)
{
    return raw <= static_cast<std::uint64_t>(last) ? static_cast<Own>(raw) : otherwise;
}

}  // namespace

TaskState task_state(std::uint32_t raw)
{
    return own_of(raw, TaskState::finished, TaskState::unknown);
}

AwaitedKind awaited_kind(std::uint32_t raw)
{
    return own_of(raw, AwaitedKind::semaphore, AwaitedKind::other);
}

TaskOutcome task_outcome(std::uint64_t raw)
{
    return own_of(raw, TaskOutcome::swallowed, TaskOutcome::unknown);
}

}  // namespace loopwatch
