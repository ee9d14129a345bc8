// SPDX-License-Identifier: Apache-2.0
//
// TaskGroup: tasks that end together, what asyncio calls asyncio.TaskGroup. If one fails the others are cancelled.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <loopwatch/rt/cancelled.hpp>
#include <loopwatch/rt/detail/wait_list.hpp>
#include <loopwatch/rt/exception_group.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/spawn.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

namespace detail {
struct GroupAccess;
}

// Belongs to its loop's thread.
class TaskGroup {
public:
    explicit TaskGroup(Loop& loop) : loop_(loop), state_(std::make_shared<State>()) {}
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;
    // Cancels what is still alive, and does not wait for it: a destructor cannot. So children must not refer to what
    // dies with the group unless join() has returned. If the code between spawn() and join() can throw: catch,
    // cancel(), join(), rethrow. If the group was never joined, its children's exceptions are reported as unretrieved.
    ~TaskGroup() { cancel("its group is gone"); }

    // After a failure or cancel(), new children are cancelled at once, until join() returns. Errors: std::bad_alloc;
    // then there is no such child.
    void spawn(Task<> task, SpawnOptions options = {}, std::source_location where = std::source_location::current())
    {
        if (probe::debugged()) [[unlikely]]
            detail::TaskControl::verify_thread(loop_, "TaskGroup::spawn");
        auto& children = state_->children;
        if (children.size() > 2 * state_->alive)
            std::erase_if(children, [](const auto& child) { return child.done() && error_of(child) == nullptr; });
        if (children.size() == children.capacity()) children.reserve(2 * children.size() + 4);
        children.push_back(loopwatch::spawn(loop_, run(state_, std::move(task)), options, where));
        ++state_->alive;
        if (state_->ending) children.back().cancel("its group is ending");
    }
    void spawn(Task<> task, std::string_view name, std::source_location where = std::source_location::current())
    {
        spawn(std::move(task), SpawnOptions{.name = name}, where);
    }

    // Asks all of them to stop, and those to come until join() returns.
    void cancel(std::string_view reason = {}) const { state_->cancel(reason); }
    std::size_t alive() const noexcept { return state_->alive; }

    // Waits until none is alive, then throws what they failed with: the exception itself if one task failed,
    // ExceptionGroup if several did. A child that was cancelled has not failed. Cancelling who waits cancels all of
    // them, and they are waited for nevertheless; if one fails then, its exception comes first, and Cancelled at the
    // next await. If several tasks join, the first one throws, and the others return. Errors: std::system_error
    // (resource_deadlock_would_occur) if a child is, or waits for, who joins.
    Task<> join() { return join(state_); }

private:
    friend struct detail::GroupAccess;

    struct State final : detail::AwaitedTasks {
        detail::WaitList joiners;
        lw_awaited awaited{LW_AWAITED_OTHER, -1, 0, "task group"};
        std::size_t alive = 0;
        std::vector<JoinHandle<void>> children;
        TaskId failed = 0;    // the first that failed; its exception is join()'s
        bool ending = false;  // one has failed, or all were cancelled

        void cancel(std::string_view reason, TaskId except = 0) noexcept
        {
            ending = true;
            for (const JoinHandle<void>& child : children)
                if (child.id() != except) child.cancel(reason);
        }
        // None is alive: throws what they failed with.
        void conclude()
        {
            auto ended = std::exchange(children, {});
            const TaskId first = std::exchange(failed, 0);
            ending = false;
            std::erase_if(ended, [](const auto& child) { return error_of(child) == nullptr; });
            if (ended.empty()) return;
            if (ended.size() == 1) detail::HandleAccess::control(ended.front()).take();
            const auto at =
                std::find_if(ended.begin(), ended.end(), [&](const auto& child) { return child.id() == first; });
            if (at != ended.end()) std::rotate(ended.begin(), at, at + 1);
            std::vector<std::exception_ptr> errors;
            for (const JoinHandle<void>& child : ended) errors.push_back(error_of(child));
            const ExceptionGroup group(std::move(errors));
            // Retrieved once nothing can fail any more: without memory for the group, each is reported as unretrieved.
            for (const JoinHandle<void>& child : ended) detail::HandleAccess::control(child).retrieve();
            throw group;
        }
        void refuse_cycle(const detail::TaskControl& waiter) const
        {
            for (const JoinHandle<void>& child : children)
                if (!child.done()) detail::HandleAccess::control(child).refuse_cycle(waiter);
        }
        const detail::TaskControl* task_at(std::size_t index) const noexcept override
        {
            return index < children.size() ? &detail::HandleAccess::control(children[index]) : nullptr;
        }
        void leave() noexcept
        {
            if (--alive != 0) return;
            while (joiners.front("TaskGroup") != nullptr) joiners.wake_front();
        }
    };

    static std::exception_ptr error_of(const JoinHandle<void>& child) noexcept
    {
        return detail::HandleAccess::control(child).unretrieved_error();
    }

    static Task<> run(std::shared_ptr<State> state, Task<> task)
    {
        const TaskId self = (co_await detail::ThisTask()).id();
        // Not when it is destroyed instead of ended: nobody is to be woken then.
        try {
            co_await std::move(task);
        } catch (const Cancelled&) {
            state->leave();
            throw;
        } catch (...) {
            if (state->failed == 0) state->failed = self;
            state->cancel("another task of its group failed", self);
            state->leave();
            throw;
        }
        state->leave();
    }

    // Waits until none is alive. A cancellation does not end the wait: it is handed on to the children. Gives who
    // waited; null: nobody had to. Allocates nothing.
    class [[nodiscard]] EndAwaiter final : public detail::Waiter {
    public:
        using loop_awaitable = void;
        using takes_cancellation = void;
        explicit EndAwaiter(State& state) noexcept : state_(state) {}
        EndAwaiter(const EndAwaiter&) = delete;
        EndAwaiter& operator=(const EndAwaiter&) = delete;
        ~EndAwaiter()
        {
            if (waiting_ != nullptr) waiting_->wait_for_all(nullptr);
        }

        bool await_ready() const noexcept { return state_.alive == 0; }
        template <class P>
        void await_suspend(std::coroutine_handle<P> handle)
        {
            state_.refuse_cycle(handle.promise().task());
            wait_in(state_.joiners, handle, state_.awaited);
            waiting_ = &handle.promise().task();
            waiting_->wait_for_all(&state_);
            if (waiting_->cancel_pending()) state_.cancel(waiting_->cancel_reason());
        }
        detail::TaskControl* await_resume() const noexcept { return waiting_; }

    private:
        void interrupt() noexcept override
        {
            waiting_->await_next_cancellation(*this);
            state_.cancel(waiting_->cancel_reason());
        }

        State& state_;
        detail::TaskControl* waiting_ = nullptr;
    };

    static Task<> join(std::shared_ptr<State> state)
    {
        detail::TaskControl* joiner = nullptr;
        while (state->alive != 0) joiner = co_await EndAwaiter(*state);
        state->conclude();
        if (joiner != nullptr && joiner->cancel_pending()) joiner->deliver();
    }

    Loop& loop_;
    std::shared_ptr<State> state_;
};

namespace detail {

// What is built on groups.
struct GroupAccess {
    static TaskGroup::EndAwaiter end_of(TaskGroup& group) noexcept { return TaskGroup::EndAwaiter(*group.state_); }
    static void conclude(TaskGroup& group) { group.state_->conclude(); }
    static void cancel_others(TaskGroup& group, TaskId self, std::string_view reason) noexcept
    {
        group.state_->cancel(reason, self);
    }
};

}  // namespace detail
}  // namespace loopwatch
