// SPDX-License-Identifier: Apache-2.0
//
// Task<T>: a lazy coroutine. `co_await` on it runs it as a part of the awaiting task (one more activation in the chain
// that `loopwatch ps` prints), spawn() makes it a task of its own. Exceptions pass through to whoever awaits it.
#pragma once

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include <loopwatch/probe.hpp>
#include <loopwatch/rt/detail/findings.hpp>
#include <loopwatch/rt/detail/sized_frame.hpp>
#include <loopwatch/rt/detail/task_control.hpp>
#include <loopwatch/rt/registry.hpp>

namespace loopwatch {

template <class T = void>
class Task;

namespace detail {

template <class A, class Promise>
concept LoopAwaitable = requires(A& awaitable, std::coroutine_handle<Promise> handle)
{
    {
        awaitable.await_ready()
        } -> std::convertible_to<bool>;
    awaitable.await_suspend(handle);
    awaitable.await_resume();
    typename std::remove_cvref_t<A>::loop_awaitable;
};

// Waits with the awaiter that stands in the co_await expression. Returned as a reference, g++ 12 would copy it.
template <class A>
class AwaitInPlace {
public:
    explicit AwaitInPlace(A& awaiter) noexcept : awaiter_(awaiter) {}
    bool await_ready() const { return awaiter_.await_ready(); }
    template <class P>
    auto await_suspend(std::coroutine_handle<P> handle) const
    {
        return awaiter_.await_suspend(handle);
    }
    decltype(auto) await_resume() const { return awaiter_.await_resume(); }

private:
    A& awaiter_;
};

[[noreturn]] void throw_gone_task();
[[noreturn]] void throw_gone_handle();

class PromiseBase : public SizedFrame {
public:
    PromiseBase() noexcept
    {
        frame_.bytes = frame_bytes();
        if (debugged()) called_from_ = capture_backtrace();
    }
    PromiseBase(const PromiseBase&) = delete;
    PromiseBase& operator=(const PromiseBase&) = delete;

    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept { return FinalAwaiter{}; }

    TaskControl& task() const noexcept { return *task_; }
    const lw_frame& frame() const noexcept { return frame_; }
    // Becomes the root of a task.
    void attach(TaskControl& task) noexcept { task_ = &task; }
    // Becomes an activation within the awaiting coroutine's task.
    void attach(const PromiseBase& awaiter, std::coroutine_handle<> continuation, ChildOwner& owner) noexcept
    {
        task_ = awaiter.task_;
        continuation_ = continuation;
        frame_.awaiter = &awaiter.frame_;
        frame_.owner = &owner;
        task_->publish_leaf(&frame_);
    }
    void report_if_never_awaited() const noexcept
    {
        if (task_ == nullptr && watched() && frame_.created_at != nullptr)
            tell_never_awaited(frame_, called_from_.get());
    }

protected:
    void created(const std::source_location& where) noexcept { frame_.created_at = location_of(where); }
    void awaits(const std::source_location& where) noexcept
    {
        if constexpr (published) frame_.suspended_at = location_of(where);
    }

private:
    struct FinalAwaiter {
        bool await_ready() const noexcept { return false; }
        template <class Promise>
        std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) const noexcept
        {
            const PromiseBase& promise = handle.promise();
            if (promise.continuation_) {
                promise.task_->publish_leaf(promise.frame_.awaiter);
                return promise.continuation_;
            }
            return promise.task_->finish();
        }
        void await_resume() const noexcept {}
    };

    FrameRecord frame_{};
    TaskControl* task_ = nullptr;
    std::coroutine_handle<> continuation_;
    std::unique_ptr<const lw_backtrace> called_from_;  // in debug mode: it may never be awaited
};

template <class T>
class Promise;

// Awaits a child coroutine: starts it by symmetric transfer, and destroys it at the end of the await.
template <class T>
class ChildAwaiter final : private ChildOwner {
public:
    using loop_awaitable = void;
    explicit ChildAwaiter(std::coroutine_handle<Promise<T>> child) noexcept : child_(child) {}
    ChildAwaiter(const ChildAwaiter&) = delete;
    ChildAwaiter& operator=(const ChildAwaiter&) = delete;
    ~ChildAwaiter() { destroy_child(); }
    bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> awaiter) noexcept
    {
        child_.promise().attach(awaiter.promise(), awaiter, *this);
        return child_;
    }
    T await_resume() const { return child_.promise().outcome().take(); }

private:
    void destroy_child() noexcept override
    {
        if (child_) std::exchange(child_, nullptr).destroy();
    }

    std::coroutine_handle<Promise<T>> child_;
};

// co_await it: the task that does. Not a wait.
class ThisTask {
public:
    using loop_awaitable = void;
    using takes_cancellation = void;
    bool await_ready() const noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> handle) noexcept
    {
        task_ = &handle.promise().task();
        return false;
    }
    TaskControl& await_resume() const noexcept { return *task_; }

private:
    TaskControl* task_ = nullptr;
};

template <class T>
class PromiseOf : public PromiseBase {
public:
    // g++ 12 gives the function's name, and as its line that of the closing brace.
    Task<T> get_return_object(const std::source_location where = std::source_location::current()) noexcept;
    void unhandled_exception() noexcept { outcome_.set_exception(std::current_exception()); }
    Outcome<T>& outcome() noexcept { return outcome_; }

    template <class U>
    ChildAwaiter<U> await_transform(Task<U>&& child, const std::source_location where = std::source_location::current())
    {
        awaits(where);
        if (!child.handle()) [[unlikely]]
            throw_gone_task();
        return ChildAwaiter<U>(child.release());
    }
    // A task can wait for what the runtime provides only: everything else would resume it past the loop's dispatch,
    // unseen. Bridge callbacks with asio::async_initiate and use_task.
    template <LoopAwaitable<Promise<T>> A>
    AwaitInPlace<std::remove_reference_t<A>> await_transform(
        A&& awaitable, const std::source_location where = std::source_location::current())
    {
        awaits(where);
        deliver_to<std::remove_reference_t<A>>();
        return AwaitInPlace<std::remove_reference_t<A>>(awaitable);
    }
    template <class A>
    requires requires(A&& handle)
    {
        {
            static_cast<A&&>(handle).operator co_await()
            } -> LoopAwaitable<Promise<T>>;
    }
    auto await_transform(A&& handle, const std::source_location where = std::source_location::current())
    {
        awaits(where);
        deliver_to<std::remove_reference_t<A>>();
        return static_cast<A&&>(handle).operator co_await();
    }

protected:
    Outcome<T> outcome_;

private:
    // A request that is pending is thrown at the next await, unless that one takes it (takes_cancellation).
    template <class A>
    void deliver_to()
    {
        if constexpr (!requires { typename A::takes_cancellation; })
            if (task().cancel_pending()) [[unlikely]]
                task().deliver();
    }
};

template <class T>
class Promise : public PromiseOf<T> {
public:
    template <class V>
    requires std::convertible_to<V&&, T>
    void return_value(V&& value) { this->outcome_.set_value(std::forward<V>(value)); }
};

template <>
class Promise<void> : public PromiseOf<void> {
public:
    void return_void() { this->outcome_.set_value(); }
};

}  // namespace detail

// Movable, awaited or spawned once. Destroying one that never ran fires `coroutine_never_awaited`.
template <class T>
class [[nodiscard]] Task {
public:
    using promise_type = detail::Promise<T>;
    using value_type = T;

    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Task& operator=(Task&& other) noexcept
    {
        if (this != &other) {
            destroy();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~Task() { destroy(); }

    // For spawn() and the promise.
    std::coroutine_handle<promise_type> handle() const noexcept { return handle_; }
    std::coroutine_handle<promise_type> release() noexcept { return std::exchange(handle_, nullptr); }

private:
    friend class detail::PromiseOf<T>;
    explicit Task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
    void destroy() noexcept
    {
        if (!handle_) return;
        handle_.promise().report_if_never_awaited();
        handle_.destroy();
    }

    std::coroutine_handle<promise_type> handle_;
};

template <class T>
Task<T> detail::PromiseOf<T>::get_return_object(const std::source_location where) noexcept
{
    this->created(where);
    return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(static_cast<Promise<T>&>(*this)));
}

}  // namespace loopwatch
