// SPDX-License-Identifier: Apache-2.0
//
// Tasks that wait in a row for the same thing: first come, first served. Of the loop's own thread.
#pragma once

#include <coroutine>
#include <utility>

#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch::detail {

class WaitList;

// One task's place in the row; stands in its coroutine, which may be destroyed while it waits.
class Waiter : public Suspension {
public:
    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;

    TaskControl& task() const noexcept { return *task_; }

protected:
    ~Waiter() { unlink(); }

    // `what` outlives the wait.
    template <class P>
    void wait_in(WaitList& list, std::coroutine_handle<P> handle, const lw_awaited& what) noexcept
    {
        task_ = &handle.promise().task();
        link(list);
        task_->suspend(handle, *this, &what);
    }
    // Throws Cancelled if that is what ended the wait.
    void resumed()
    {
        if (interrupted()) task_->deliver();
    }
    bool interrupted() noexcept { return std::exchange(interrupted_, false); }
    void interrupt() noexcept override
    {
        interrupted_ = true;
        unlink();
        task_->wake();
    }

private:
    friend class WaitList;

    inline void link(WaitList& list) noexcept;
    inline void unlink() noexcept;

    WaitList* list_ = nullptr;  // null: it does not wait
    TaskControl* task_ = nullptr;
    Waiter* next_ = nullptr;
    Waiter** link_ = nullptr;  // what points to this one
    bool interrupted_ = false;
};

class WaitList {
public:
    WaitList() = default;
    WaitList(const WaitList&) = delete;
    WaitList& operator=(const WaitList&) = delete;

    bool empty() const noexcept { return first_ == nullptr; }
    // Whose turn it is, null if none waits. `operation`: on whose behalf, for a finding if this is not the loop's
    // thread.
    Waiter* front(const char* operation) const noexcept
    {
        if (first_ != nullptr) first_->task_->check_thread(operation);
        return first_;
    }
    // Takes the first out of the row and wakes its task.
    void wake_front() noexcept
    {
        Waiter& waiter = *first_;
        waiter.unlink();
        waiter.task_->wake();
    }

private:
    friend class Waiter;

    Waiter* first_ = nullptr;
    Waiter** end_ = &first_;
};

inline void Waiter::link(WaitList& list) noexcept
{
    list_ = &list;
    link_ = list.end_;
    *link_ = this;
    list.end_ = &next_;
}

inline void Waiter::unlink() noexcept
{
    if (list_ == nullptr) return;
    *link_ = next_;
    (next_ != nullptr ? next_->link_ : list_->end_) = link_;
    next_ = nullptr;
    list_ = nullptr;
    task_->hold_up(nullptr);
}

}  // namespace loopwatch::detail
