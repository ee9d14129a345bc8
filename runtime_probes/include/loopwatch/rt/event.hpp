// SPDX-License-Identifier: Apache-2.0
//
// Event: tasks wait until somebody sets it, what asyncio calls asyncio.Event.
#pragma once

#include <coroutine>

#include <loopwatch/rt/detail/wait_list.hpp>

namespace loopwatch {

class Event;

namespace detail {

class [[nodiscard]] EventAwaiter final : public Waiter {
public:
    using loop_awaitable = void;
    explicit EventAwaiter(Event& event) noexcept : event_(event) {}

    bool await_ready() const noexcept;
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept;
    void await_resume() { resumed(); }

private:
    Event& event_;
};

}  // namespace detail

// Belongs to the thread of its tasks' loop. Must outlive who waits for it.
class Event {
public:
    // `name` is what `loopwatch ps` calls it; it must live as long.
    explicit Event(const char* name = nullptr) noexcept : awaited_{LW_AWAITED_EVENT, -1, 0, name} {}

    bool is_set() const noexcept { return set_; }
    // Wakes all who wait, in the order in which they came; who waits later does not wait.
    void set() noexcept
    {
        set_ = true;
        while (waiters_.front("Event::set") != nullptr) waiters_.wake_front();
    }
    void clear() noexcept { set_ = false; }
    // co_await it. Cancellable.
    detail::EventAwaiter wait() noexcept { return detail::EventAwaiter(*this); }

private:
    friend class detail::EventAwaiter;

    detail::WaitList waiters_;
    lw_awaited awaited_;
    bool set_ = false;
};

namespace detail {

inline bool EventAwaiter::await_ready() const noexcept
{
    return event_.set_;
}

template <class P>
void EventAwaiter::await_suspend(std::coroutine_handle<P> handle) noexcept
{
    wait_in(event_.waiters_, handle, event_.awaited_);
}

}  // namespace detail
}  // namespace loopwatch
