// SPDX-License-Identifier: Apache-2.0
//
// with_timeout: a task that is cancelled if it takes too long, what asyncio calls asyncio.wait_for.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <loopwatch/rt/cancelled.hpp>
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

// Shared, as the timer may have fired already when the task it watches ends.
template <class T>
struct Timed {
    std::optional<JoinHandle<T>> running;
    bool expired = false;
};

template <class T>
Task<> cancel_after(std::chrono::nanoseconds limit, std::shared_ptr<Timed<T>> timed)
{
    co_await sleep_for(limit);
    timed->expired = true;
    timed->running->cancel("timed out");
}

// Stops the timer, however the wait ends.
class Watch {
public:
    explicit Watch(JoinHandle<void> timer) noexcept : timer_(std::move(timer)) {}
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() { timer_.cancel("in time"); }

private:
    JoinHandle<void> timer_;
};

}  // namespace detail

// The result of `task`, run as a task of its own. Errors: TimedOut if it was asked to stop after `limit` and did; its
// own exceptions. Cancelling who waits cancels it, and it is waited for nevertheless.
template <class T>
Task<T> with_timeout(std::chrono::nanoseconds limit, Task<T> task,
                     std::source_location where = std::source_location::current())
{
    using Result = std::conditional_t<std::is_void_v<T>, bool, T>;
    Loop& loop = *Loop::current();
    const auto timed = std::make_shared<detail::Timed<T>>();
    timed->running.emplace(spawn(loop, std::move(task), SpawnOptions{.name = "with_timeout"}, where));
    const auto& running = *timed->running;
    const detail::Watch watch(spawn(loop, detail::cancel_after(limit, timed), "timeout"));
    std::optional<Cancelled> request;
    std::optional<Result> result;
    while (!result) {
        try {
            if constexpr (std::is_void_v<T>) {
                co_await running;
                result = true;
            } else {
                result.emplace(co_await running);
            }
        } catch (const Cancelled& cancelled) {
            if (running.done()) {
                if (request) throw Cancelled(*request);
                if (timed->expired) throw TimedOut();
                throw;
            }
            request = cancelled;
            running.cancel(cancelled.reason());
        }
    }
    if (request) throw Cancelled(*request);
    if constexpr (!std::is_void_v<T>) co_return std::move(*result);
}

}  // namespace loopwatch
