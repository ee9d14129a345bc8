// SPDX-License-Identifier: Apache-2.0
//
// spawn() makes a coroutine a task of its own on a loop; the JoinHandle waits for it, cancels it, or lets it go.
#pragma once

#include <coroutine>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>

#include <loopwatch/rt/cancelled.hpp>
#include <loopwatch/rt/detail/task_control.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

using TaskId = lw_u64;

template <class T>
class JoinHandle;

namespace detail {

// What who joins waits for; which task that is, its record tells.
inline constexpr lw_awaited another_task{LW_AWAITED_OTHER, -1, 0, "task"};

template <class T>
class TypedControl final : public TaskControl {
public:
    TypedControl(Loop& loop, std::coroutine_handle<Promise<T>> root, std::string_view name,
                 const std::source_location& where)
        : TaskControl(loop, root, root.promise().frame(), name, where)
    {
        root.promise().attach(*this);
    }
    T take()
    {
        retrieve();
        return outcome_.take();
    }

private:
    std::exception_ptr collect() noexcept override
    {
        try {
            outcome_ = std::move(std::coroutine_handle<Promise<T>>::from_address(root().address()).promise().outcome());
        } catch (...) {  // of the result's move
            outcome_.set_exception(std::current_exception());
        }
        return outcome_.error();
    }
    std::exception_ptr error() const noexcept override { return outcome_.error(); }
    void set_error(std::exception_ptr error) noexcept override { outcome_.set_exception(std::move(error)); }

    Outcome<T> outcome_;
};

// Waits until a task has ended. Belongs to the waiting task's coroutine.
class EndAwaiter : public Suspension {
public:
    explicit EndAwaiter(TaskControl& target) noexcept : target_(target) {}
    EndAwaiter(const EndAwaiter&) = delete;
    EndAwaiter& operator=(const EndAwaiter&) = delete;
    bool await_ready() const noexcept { return target_.done(); }

protected:
    // It went on, or is destroyed while it waits. The handle may be gone by then.
    ~EndAwaiter()
    {
        if (waiter_ == nullptr) return;
        target_.drop_joiner(*waiter_);
        target_.release();
    }
    void wait(TaskControl& waiter, std::coroutine_handle<> handle)
    {
        target_.add_joiner(waiter);
        if (std::exchange(waiter_, &waiter) == nullptr) target_.add_reference();
        waiter.suspend(handle, *this, &another_task);
    }
    bool was_interrupted() noexcept { return std::exchange(interrupted_, false); }
    TaskControl& waiter() const noexcept { return *waiter_; }

private:
    void interrupt() noexcept override
    {
        interrupted_ = true;
        target_.drop_joiner(*waiter_);
        waiter_->wake();
    }

    TaskControl& target_;
    TaskControl* waiter_ = nullptr;
    bool interrupted_ = false;
};

template <class T>
class JoinAwaiter final : public EndAwaiter {
public:
    using loop_awaitable = void;
    explicit JoinAwaiter(TypedControl<T>& target) noexcept : EndAwaiter(target), target_(target) {}
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle)
    {
        wait(handle.promise().task(), handle);
    }
    T await_resume()
    {
        if (was_interrupted()) waiter().deliver();
        return target_.take();
    }

private:
    TypedControl<T>& target_;
};

// Waits for the end and does not take the result; gives the waiting task's cancellation if that came first.
class QuietEndAwaiter final : public EndAwaiter {
public:
    using loop_awaitable = void;
    using takes_cancellation = void;
    using EndAwaiter::EndAwaiter;
    template <class P>
    bool await_suspend(std::coroutine_handle<P> handle)
    {
        TaskControl& task = handle.promise().task();
        if (task.cancel_pending()) {
            taken_.emplace(task.take_cancellation());
            return false;
        }
        wait(task, handle);
        return true;
    }
    std::optional<Interruption> await_resume()
    {
        if (was_interrupted()) return waiter().take_cancellation();
        return std::exchange(taken_, std::nullopt);
    }

private:
    std::optional<Interruption> taken_;
};

// What the runtime needs to know of a handle.
struct HandleAccess {
    template <class T>
    static TypedControl<T>& control(const JoinHandle<T>& handle)
    {
        return handle.control();
    }
    template <class T>
    static QuietEndAwaiter end_of(const JoinHandle<T>& handle)
    {
        return QuietEndAwaiter(handle.control());
    }
};

}  // namespace detail

struct SpawnOptions {
    std::string_view name = {};  // copied; shown in every report, as name#id
};

// Dropping the handle detaches the task: it runs on, and an exception it ends with is reported (probe
// exception_unretrieved).
template <class T>
class JoinHandle {
public:
    JoinHandle(JoinHandle&& other) noexcept : control_(std::exchange(other.control_, nullptr)) {}
    JoinHandle& operator=(JoinHandle&& other) noexcept
    {
        if (this != &other) {
            detach();
            control_ = std::exchange(other.control_, nullptr);
        }
        return *this;
    }
    ~JoinHandle() { detach(); }

    // Waits for the task's result, once, and rethrows its exception; Cancelled if it was cancelled. Cancelling the
    // waiter ends the wait, not the task waited for. Only one task may wait, and unless the task is done it must be one
    // of the same loop. Errors: std::logic_error otherwise; std::system_error (resource_deadlock_would_occur) if the
    // task waits for the waiter, through whatever locks, groups and other tasks of this loop.
    auto operator co_await() const { return detail::JoinAwaiter<T>(control()); }

    // Asks the task to stop: it sees Cancelled at the co_await it stands at, or at its next. An operation that has
    // succeeded by then gives its result first. Any thread; does nothing once the task is done.
    void cancel(std::string_view reason = {}) const { control().cancel_from(reason); }
    // Ids count from 1 and are never reused within a process.
    TaskId id() const { return control().id(); }
    // Any thread.
    bool done() const { return control().done(); }
    void detach() noexcept
    {
        if (control_ != nullptr) std::exchange(control_, nullptr)->release();
    }

private:
    template <class U>
    friend JoinHandle<U> spawn(Loop&, Task<U>, SpawnOptions, std::source_location);
    // Takes over the reference that a control is made with.
    explicit JoinHandle(detail::TypedControl<T>& control) noexcept : control_(&control) {}
    friend struct detail::HandleAccess;
    detail::TypedControl<T>& control() const
    {
        if (control_ == nullptr) [[unlikely]]
            detail::throw_gone_handle();
        return *control_;
    }

    detail::TypedControl<T>* control_;
};

// Starts `task` as a task of `loop`; it is first resumed by the loop, never here. Any thread.
template <class T>
JoinHandle<T> spawn(Loop& loop, Task<T> task, SpawnOptions options = {},
                    std::source_location where = std::source_location::current())
{
    if (!task.handle()) detail::throw_gone_task();
    auto* const control = new detail::TypedControl<T>(loop, task.handle(), options.name, where);
    task.release();
    JoinHandle<T> handle(*control);
    control->start();
    return handle;
}

template <class T>
JoinHandle<T> spawn(Loop& loop, Task<T> task, std::string_view name,
                    std::source_location where = std::source_location::current())
{
    return spawn(loop, std::move(task), SpawnOptions{.name = name}, where);
}

}  // namespace loopwatch
