// SPDX-License-Identifier: Apache-2.0
//
// Event: tasks wait until somebody sets it, what asyncio calls asyncio.Event.
#pragma once

#include <coroutine>

#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch {

class Event;

namespace detail {

class [[nodiscard]] EventAwaiter final : public Suspension {
public:
    using loop_awaitable = void;
    explicit EventAwaiter(Event& event) noexcept : event_(event) {}
    EventAwaiter(const EventAwaiter&) = delete;
    EventAwaiter& operator=(const EventAwaiter&) = delete;
    // A task may be destroyed while it waits.
    ~EventAwaiter() { unlink(); }

    bool await_ready() const noexcept;
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept
    {
        task_ = &handle.promise().task();
        link();
        task_->suspend(handle, *this);
    }
    void await_resume() const
    {
        if (interrupted_) task_->deliver();
    }

private:
    friend class loopwatch::Event;

    void link() noexcept;
    void unlink() noexcept;
    void interrupt() noexcept override
    {
        interrupted_ = true;
        unlink();
        task_->wake();
    }

    Event& event_;
    TaskControl* task_ = nullptr;
    EventAwaiter* next_ = nullptr;
    EventAwaiter** link_ = nullptr;  // what points to this one; null: it does not wait
    bool interrupted_ = false;
};

}  // namespace detail

// Belongs to the thread of its tasks' loop. Must outlive who waits for it.
class Event {
public:
    Event() = default;
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;

    bool is_set() const noexcept { return set_; }
    // Wakes all who wait, in the order in which they came; who waits later does not wait.
    void set() noexcept
    {
        set_ = true;
        while (first_ != nullptr) {
            detail::EventAwaiter& awaiter = *first_;
            awaiter.unlink();
            awaiter.task_->wake();
        }
    }
    void clear() noexcept { set_ = false; }
    // co_await it. Cancellable.
    detail::EventAwaiter wait() noexcept { return detail::EventAwaiter(*this); }

private:
    friend class detail::EventAwaiter;

    detail::EventAwaiter* first_ = nullptr;
    detail::EventAwaiter** end_ = &first_;
    bool set_ = false;
};

namespace detail {

inline bool EventAwaiter::await_ready() const noexcept
{
    return event_.set_;
}

inline void EventAwaiter::link() noexcept
{
    link_ = event_.end_;
    *link_ = this;
    event_.end_ = &next_;
}

inline void EventAwaiter::unlink() noexcept
{
    if (link_ == nullptr) return;
    *link_ = next_;
    (next_ != nullptr ? next_->link_ : event_.end_) = link_;
    next_ = nullptr;
    link_ = nullptr;
}

}  // namespace detail
}  // namespace loopwatch
