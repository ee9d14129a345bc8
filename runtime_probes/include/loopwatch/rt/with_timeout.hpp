// SPDX-License-Identifier: Apache-2.0
//
// with_timeout: a task that is cancelled if it takes too long, what asyncio calls asyncio.wait_for.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include <loopwatch/rt/detail/asio.hpp>

#include <asio/steady_timer.hpp>

#include <loopwatch/rt/cancelled.hpp>
#include <loopwatch/rt/detail/charge.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/sleep.hpp>
#include <loopwatch/rt/spawn.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

class TimedOut : public std::exception {
public:
    const char* what() const noexcept override { return "timed out"; }
};

namespace detail {

// Cancels a task when its time is over. Armed before there is a task, so that nothing can fail while one runs.
class TimeLimit {
public:
    TimeLimit(Loop& loop, std::chrono::nanoseconds limit)
        : state_(std::make_shared<State>()), timer_(loop.context(), deadline_after(limit))
    {
        timer_.async_wait([state = state_](const std::error_code& error) {
            if (error || state->task == nullptr || state->task->done()) return;
            state->expired = true;
            state->task->cancel("timed out", 0);
        });
    }
    TimeLimit(const TimeLimit&) = delete;
    TimeLimit& operator=(const TimeLimit&) = delete;
    ~TimeLimit() { state_->task = nullptr; }

    void watch(TaskControl& task) noexcept { state_->task = &task; }
    bool expired() const noexcept { return state_->expired; }

private:
    struct State {
        TaskControl* task = nullptr;
        bool expired = false;
    };

    std::shared_ptr<State> state_;  // the timer's handler may run after its end
    asio::steady_timer timer_;
};

}  // namespace detail

// The result of `task`, run as a task of its own. Errors: TimedOut if `limit` expired and the task ended with
// Cancelled; its own exceptions. Cancelling who waits cancels it, and it is waited for nevertheless: if it ends with
// something else than Cancelled, that comes first, and Cancelled at the next await. No limit:
// std::chrono::nanoseconds::max(). A limit of zero lets `task` run until it first waits. For what is no Task (a
// receive(), a handle): a coroutine that awaits it; of a handle the limit then ends the wait, not the task.
template <class T>
Task<T> with_timeout(std::chrono::nanoseconds limit, Task<T> task,
                     std::source_location where = std::source_location::current())
{
    Loop& loop = *Loop::current();
    detail::TimeLimit timer(loop, limit);
    const auto running = spawn(loop, std::move(task), SpawnOptions{.name = "with_timeout"}, where);
    timer.watch(detail::HandleAccess::control(running));
    detail::Charge<T> charge(running);
    while (!running.done()) charge.pass_on(co_await charge.end());
    try {
        co_return charge.take();
    } catch (const Cancelled&) {
        if (!charge.passed_on() && timer.expired()) throw TimedOut();
        throw;
    }
}

}  // namespace loopwatch
