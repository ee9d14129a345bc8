// SPDX-License-Identifier: Apache-2.0
//
// spawn() makes a coroutine a task of its own on a loop; the JoinHandle waits for it, cancels it, or lets it go.
#pragma once

#include <coroutine>
#include <source_location>
#include <string_view>
#include <utility>

#include <loopwatch/rt/cancelled.hpp>
#include <loopwatch/rt/detail/task_control.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

using TaskId = lw_u64;

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
        outcome_ = std::move(std::coroutine_handle<Promise<T>>::from_address(root().address()).promise().outcome());
        return outcome_.error();
    }
    std::exception_ptr error() const noexcept override { return outcome_.error(); }

    Outcome<T> outcome_;
};

template <class T>
class JoinAwaiter final : public Suspension {
public:
    using loop_awaitable = void;
    explicit JoinAwaiter(TypedControl<T>& target) noexcept : target_(target) {}
    bool await_ready() const noexcept { return target_.done(); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle)
    {
        task_ = &handle.promise().task();
        target_.add_joiner(*task_);
        task_->suspend(handle, *this, &another_task);
    }
    T await_resume()
    {
        if (interrupted_) task_->deliver();
        return target_.take();
    }

private:
    void interrupt() noexcept override
    {
        interrupted_ = true;
        target_.drop_joiner();
        task_->wake();
    }

    TypedControl<T>& target_;
    TaskControl* task_ = nullptr;
    bool interrupted_ = false;
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
        std::swap(control_, other.control_);
        return *this;
    }
    ~JoinHandle() { detach(); }

    // Waits for the task's result, once, and rethrows its exception; Cancelled if it was cancelled. Cancelling the
    // waiter ends the wait, not the task waited for. Only one task may wait, and one of the same loop. Errors:
    // std::logic_error otherwise; std::system_error (resource_deadlock_would_occur) if the tasks would wait for each
    // other.
    auto operator co_await() const { return detail::JoinAwaiter<T>(*control_); }

    // Asks the task to stop: it sees Cancelled at the co_await it stands at, or at its next. An operation that has
    // succeeded by then gives its result first. Any thread; does nothing once the task is done.
    void cancel(std::string_view reason = {}) const { control_->cancel_from(reason); }
    // Ids count from 1 and are never reused within a process.
    TaskId id() const noexcept { return control_->id(); }
    // Any thread.
    bool done() const noexcept { return control_->done(); }
    void detach() noexcept
    {
        if (control_ != nullptr) std::exchange(control_, nullptr)->release();
    }

private:
    template <class U>
    friend JoinHandle<U> spawn(Loop&, Task<U>, SpawnOptions, std::source_location);
    explicit JoinHandle(detail::TypedControl<T>& control) noexcept : control_(&control) { control.add_reference(); }

    detail::TypedControl<T>* control_;
};

// Starts `task` as a task of `loop`; it is first resumed by the loop, never here. Any thread.
template <class T>
JoinHandle<T> spawn(Loop& loop, Task<T> task, SpawnOptions options = {},
                    std::source_location where = std::source_location::current())
{
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
