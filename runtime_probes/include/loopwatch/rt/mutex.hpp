// SPDX-License-Identifier: Apache-2.0
//
// Mutex: one task at a time, what asyncio calls asyncio.Lock. Held across co_await, it blocks tasks, never the thread.
#pragma once

#include <coroutine>
#include <utility>

#include <loopwatch/rt/detail/wait_list.hpp>

namespace loopwatch {

class Mutex;

namespace detail {
class MutexAwaiter;
}

// Holds a Mutex until it is destroyed, on its loop's thread. Movable, also to another task of that loop; a deadlock is
// looked for through the task that took it.
class [[nodiscard]] MutexLock {
public:
    MutexLock(MutexLock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    MutexLock& operator=(MutexLock&& other) noexcept
    {
        if (this == &other) return *this;
        const MutexLock former(std::move(*this));
        mutex_ = std::exchange(other.mutex_, nullptr);
        return *this;
    }
    inline ~MutexLock();

private:
    friend class detail::MutexAwaiter;
    explicit MutexLock(Mutex& mutex) noexcept : mutex_(&mutex) {}

    Mutex* mutex_;
};

namespace detail {

class [[nodiscard]] MutexAwaiter final : public Waiter {
public:
    using loop_awaitable = void;
    explicit MutexAwaiter(Mutex& mutex) noexcept : mutex_(mutex) {}
    // Given the lock, and destroyed before it could go on.
    inline ~MutexAwaiter();

    bool await_ready() const noexcept { return false; }
    // False: it need not wait.
    template <class P>
    bool await_suspend(std::coroutine_handle<P> handle);
    inline MutexLock await_resume();

private:
    friend class loopwatch::Mutex;

    Mutex& mutex_;
    bool holds_ = false;  // since unlock() gave it the lock, until await_resume
};

}  // namespace detail

// Belongs to the thread of its tasks' loop. Handed on in the order in which tasks came: nobody starves. Must outlive
// its locks and who waits for it.
class Mutex {
public:
    // `name` is what `loopwatch ps` calls it; it must live as long.
    explicit Mutex(const char* name = nullptr) noexcept : awaited_{LW_AWAITED_MUTEX, -1, 0, name} {}
    Mutex(const Mutex&) = delete;
    Mutex& operator=(const Mutex&) = delete;

    bool locked() const noexcept { return owner_ != nullptr; }
    // `MutexLock lock = co_await mutex.lock();` Cancellable. Errors: std::system_error (resource_deadlock_would_occur)
    // if the task holds it already, or its holder waits for this task.
    detail::MutexAwaiter lock() noexcept { return detail::MutexAwaiter(*this); }

private:
    friend class detail::MutexAwaiter;
    friend class MutexLock;

    void take(detail::TaskControl& task) noexcept
    {
        // So that whoever looks for a deadlock finds a task here, even if its lock outlives it.
        task.add_reference();
        owner_ = &task;
        awaited_.value = task.id();
    }
    void unlock() noexcept
    {
        if (waiters_.empty()) owner_->check_thread("Mutex::unlock");
        detail::Waiter* const next = waiters_.front("Mutex::unlock");
        detail::TaskControl* const former = std::exchange(owner_, nullptr);
        awaited_.value = 0;
        if (next != nullptr) {
            auto& heir = static_cast<detail::MutexAwaiter&>(*next);
            take(heir.task());
            heir.holds_ = true;
            waiters_.wake_front();
        }
        former->release();
    }

    detail::WaitList waiters_;
    detail::TaskControl* owner_ = nullptr;
    lw_awaited awaited_;
};

inline MutexLock::~MutexLock()
{
    if (mutex_ != nullptr) mutex_->unlock();
}

namespace detail {

inline MutexAwaiter::~MutexAwaiter()
{
    if (holds_) mutex_.unlock();
}

template <class P>
bool MutexAwaiter::await_suspend(std::coroutine_handle<P> handle)
{
    TaskControl& task = handle.promise().task();
    if (mutex_.owner_ == nullptr) {
        mutex_.take(task);
        holds_ = true;
        return false;
    }
    mutex_.owner_->refuse_cycle(task);
    wait_in(mutex_.waiters_, handle, mutex_.awaited_);
    task.hold_up(&mutex_.owner_);
    return true;
}

inline MutexLock MutexAwaiter::await_resume()
{
    if (!holds_) resumed();
    holds_ = false;
    return MutexLock(mutex_);
}

}  // namespace detail
}  // namespace loopwatch
