// SPDX-License-Identifier: Apache-2.0
//
// From one loop to another and back: `co_await on_loop(other, work())` runs work() as a task of the other loop, on its
// thread, and goes on here with what it returned or threw.
#pragma once

#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <loopwatch/rt/cancelled.hpp>
#include <loopwatch/rt/detail/findings.hpp>
#include <loopwatch/rt/detail/mailbox.hpp>
#include <loopwatch/rt/detail/outcome.hpp>
#include <loopwatch/rt/detail/task_control.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/loop_gone.hpp>
#include <loopwatch/rt/spawn.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

namespace detail {

// What both loops hold. `waiter` belongs to this side's thread, `outcome` to the other's until it is sent.
template <class T>
class Errand final : public Inbound {
public:
    explicit Errand(TaskControl& waiter) : waiter(&waiter), mailbox_(waiter.mailbox()) {}
    Errand(const Errand&) = delete;
    Errand& operator=(const Errand&) = delete;
    ~Errand()
    {
        if (task_threw && !received && failed(outcome.error()))
            tell_unretrieved(HandleAccess::control(*remote).record(), outcome.error());
    }

    void send(std::shared_ptr<Errand> self) noexcept
    {
        const auto mailbox = mailbox_;
        self_ = std::move(self);
        mailbox->push(*this);
    }
    void arrive(Loop* loop) noexcept override
    {
        const auto self = std::move(self_);
        if (loop != nullptr && waiter != nullptr) waiter->wake();
    }

    TaskControl* waiter;  // null: it was destroyed
    Outcome<T> outcome;
    bool task_threw = false;                 // of the other side: `outcome` is what the task threw
    bool received = false;                   // of this side, as `remote`
    std::optional<JoinHandle<void>> remote;  // set before this side can let go of the errand

private:
    std::shared_ptr<Mailbox> mailbox_;
    std::shared_ptr<Errand> self_;  // while it stands in the mailbox
};

// Brings the errand back however the task on the other loop ends, also if it is destroyed there.
template <class T>
class Return {
public:
    explicit Return(std::shared_ptr<Errand<T>> errand) noexcept : errand_(std::move(errand)) {}
    Return(Return&& other) noexcept = default;
    Return& operator=(Return&&) = delete;
    ~Return()
    {
        if (errand_ == nullptr) return;
        errand_->outcome.set_exception(std::make_exception_ptr(LoopGone()));
        send();
    }
    Outcome<T>& outcome() noexcept { return errand_->outcome; }
    void set_thrown(std::exception_ptr error) noexcept
    {
        errand_->outcome.set_exception(std::move(error));
        errand_->task_threw = true;
    }
    void send() noexcept
    {
        Errand<T>& errand = *errand_;
        errand.send(std::move(errand_));
    }

private:
    std::shared_ptr<Errand<T>> errand_;
};

template <class T>
Task<> run_errand(Return<T> way_back, Task<T> task)
{
    try {
        // co_await destroys the coroutine with all that it holds: before the way back.
        if constexpr (std::is_void_v<T>) {
            co_await std::move(task);
            way_back.outcome().set_value();
        } else {
            way_back.outcome().set_value(co_await std::move(task));
        }
    } catch (...) {
        way_back.set_thrown(std::current_exception());
    }
    way_back.send();
}

template <class T>
class [[nodiscard]] LoopAwaiter final : public Suspension {
public:
    using loop_awaitable = void;
    LoopAwaiter(Loop& loop, Task<T> task, SpawnOptions options, std::source_location where)
        : loop_(loop), task_(std::move(task)), options_(options), where_(where)
    {
    }
    LoopAwaiter(const LoopAwaiter&) = delete;
    LoopAwaiter& operator=(const LoopAwaiter&) = delete;
    ~LoopAwaiter()
    {
        if (errand_ != nullptr) errand_->waiter = nullptr;
    }

    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle)
    {
        waiter_ = &handle.promise().task();
        errand_ = std::make_shared<Errand<T>>(*waiter_);
        errand_->remote.emplace(spawn(loop_, run_errand(Return<T>(errand_), std::move(task_)), options_, where_));
        waiter_->record().awaited_task = errand_->remote->id();
        waiter_->suspend(handle, *this, &another_task);
    }
    T await_resume()
    {
        waiter_->record().awaited_task = 0;
        errand_->received = true;
        try {
            return errand_->outcome.take();
        } catch (const Cancelled&) {
            if (waiter_->cancel_pending()) waiter_->deliver();
            throw;
        }
    }

private:
    // It is waited for nevertheless: what it still does may belong to who waits here.
    void interrupt() noexcept override
    {
        waiter_->await_next_cancellation(*this);
        try {
            errand_->remote->cancel("the task that waits for it on another loop was cancelled");
        } catch (...) {  // no memory to ask: it is only waited for
        }
    }

    Loop& loop_;
    Task<T> task_;
    SpawnOptions options_;
    std::source_location where_;
    TaskControl* waiter_ = nullptr;
    std::shared_ptr<Errand<T>> errand_;
};

}  // namespace detail

// Errors: what `task` throws, which is unretrieved if who waits was destroyed meanwhile; LoopGone if the other loop is
// destroyed first. Cancelling who waits cancels `task`, and waits until that has ended; `other` must run, or be
// destroyed, for this to end.
template <class T>
auto on_loop(Loop& other, Task<T> task, SpawnOptions options = {.name = "on_loop"},
             std::source_location where = std::source_location::current())
{
    return detail::LoopAwaiter<T>(other, std::move(task), options, where);
}

}  // namespace loopwatch
