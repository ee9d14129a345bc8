// SPDX-License-Identifier: Apache-2.0
//
// Waiting for time to pass.
#pragma once

#include <chrono>
#include <coroutine>
#include <optional>
#include <utility>

#include <loopwatch/rt/detail/asio.hpp>

#include <asio/steady_timer.hpp>

#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch {

namespace detail {

// As far ahead as the clock goes, if it is further than that.
inline std::chrono::steady_clock::time_point deadline_after(std::chrono::nanoseconds duration) noexcept
{
    const auto now = std::chrono::steady_clock::now();
    return duration > std::chrono::steady_clock::time_point::max() - now ? std::chrono::steady_clock::time_point::max()
                                                                         : now + duration;
}

class [[nodiscard]] SleepAwaiter final : public Suspension {
public:
    using loop_awaitable = void;
    explicit SleepAwaiter(std::chrono::steady_clock::time_point until) noexcept
        : until_(until),
          // libstdc++'s steady_clock is CLOCK_MONOTONIC.
          awaited_{LW_AWAITED_TIMER, -1, static_cast<lw_u64>(until.time_since_epoch().count()), nullptr}
    {
    }
    SleepAwaiter(const SleepAwaiter&) = delete;
    SleepAwaiter& operator=(const SleepAwaiter&) = delete;

    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle)
    {
        task_ = &handle.promise().task();
        arm();
        task_->suspend(handle, *this, &awaited_);
    }
    void await_resume()
    {
        task_->due_ns = 0;
        if (std::exchange(interrupted_, false)) task_->deliver();
    }

private:
    void arm();
    void expired() noexcept;
    void interrupt() noexcept override;

    const std::chrono::steady_clock::time_point until_;
    lw_awaited awaited_;
    TaskControl* task_ = nullptr;
    std::optional<asio::steady_timer> timer_;
    bool interrupted_ = false;
};

}  // namespace detail

// Resumes the task no earlier than `until`. Cancellable. Errors: std::bad_alloc.
inline detail::SleepAwaiter sleep_until(std::chrono::steady_clock::time_point until) noexcept
{
    return detail::SleepAwaiter(until);
}

// Resumes the task no earlier than `duration` from the call. A zero or negative duration still suspends until the next
// poll. Cancellable. Errors: std::bad_alloc.
inline detail::SleepAwaiter sleep_for(std::chrono::nanoseconds duration) noexcept
{
    return detail::SleepAwaiter(detail::deadline_after(duration));
}

}  // namespace loopwatch
