// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/sleep.hpp>

#include <loopwatch/rt/detail/starting_operation.hpp>
#include <loopwatch/rt/loop.hpp>

namespace loopwatch::detail {

void SleepAwaiter::arm()
{
    const StartingOperation starting(awaited_);
    timer_.emplace(task_->loop().context(), until_);
    timer_->async_wait([this](const std::error_code&) { expired(); });
}

void SleepAwaiter::expired() noexcept
{
    if (!interrupted_) task_->due_ns = awaited_.value;
    task_->wake();
}

void SleepAwaiter::interrupt() noexcept
{
    interrupted_ = true;
    timer_->cancel();
}

}  // namespace loopwatch::detail
