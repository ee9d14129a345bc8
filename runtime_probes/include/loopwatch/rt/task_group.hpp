// SPDX-License-Identifier: Apache-2.0
//
// TaskGroup: tasks that end together, what asyncio calls asyncio.TaskGroup. If one fails the others are cancelled.
#pragma once

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
#include <loopwatch/rt/event.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/spawn.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

// Belongs to its loop's thread.
class TaskGroup {
public:
    explicit TaskGroup(Loop& loop) : loop_(loop), state_(std::make_shared<State>()) {}
    TaskGroup(const TaskGroup&) = delete;
    TaskGroup& operator=(const TaskGroup&) = delete;
    // Cancels what is still alive, and does not wait for it.
    ~TaskGroup() { cancel("its group is gone"); }

    void spawn(Task<> task, SpawnOptions options = {}, std::source_location where = std::source_location::current())
    {
        if (probe::debugged()) [[unlikely]]
            detail::TaskControl::verify_thread(loop_, "TaskGroup::spawn");
        ++state_->alive;
        state_->idle.clear();
        if (state_->children.size() > 2 * state_->alive)
            std::erase_if(state_->children, [](const JoinHandle<void>& child) { return child.done(); });
        state_->children.push_back(loopwatch::spawn(loop_, run(state_, std::move(task)), options, where));
    }
    void spawn(Task<> task, std::string_view name, std::source_location where = std::source_location::current())
    {
        spawn(std::move(task), SpawnOptions{.name = name}, where);
    }

    // Asks all of them to stop.
    void cancel(std::string_view reason = {}) const { state_->cancel(reason); }
    std::size_t alive() const noexcept { return state_->alive; }

    // Waits until none is alive, then rethrows the first exception that one of them ended with; a child that was
    // cancelled has not failed. Cancelling who waits cancels all of them, and they are waited for nevertheless.
    Task<> join() { return join(state_); }

private:
    struct State {
        Event idle;  // none is alive
        std::size_t alive = 0;
        std::vector<JoinHandle<void>> children;
        std::exception_ptr failure;

        void cancel(std::string_view reason) const
        {
            for (const JoinHandle<void>& child : children) child.cancel(reason);
        }
        void leave() noexcept
        {
            if (--alive == 0) idle.set();
        }
    };

    static Task<> run(std::shared_ptr<State> state, Task<> task)
    {
        // Not when it is destroyed instead of ended: nobody is to be woken then.
        try {
            co_await std::move(task);
        } catch (const Cancelled&) {
            state->leave();
            throw;
        } catch (...) {
            if (state->failure == nullptr) state->failure = std::current_exception();
            state->cancel("another task of its group failed");
        }
        state->leave();
    }

    static Task<> join(std::shared_ptr<State> state)
    {
        std::optional<Cancelled> request;
        while (state->alive != 0) {
            try {
                co_await state->idle.wait();
            } catch (const Cancelled& cancelled) {
                request = cancelled;
                state->cancel(cancelled.reason());
            }
        }
        state->children.clear();
        if (request) throw Cancelled(*request);
        if (state->failure != nullptr) std::rethrow_exception(std::exchange(state->failure, nullptr));
    }

    Loop& loop_;
    std::shared_ptr<State> state_;
};

}  // namespace loopwatch
