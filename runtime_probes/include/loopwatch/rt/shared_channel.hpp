// SPDX-License-Identifier: Apache-2.0
//
// SharedChannel<T>: a Channel between tasks of several loops, each in its own thread.
#pragma once

#include <coroutine>
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include <loopwatch/loop_state.h>
#include <loopwatch/rt/channel.hpp>
#include <loopwatch/rt/detail/shared_channel_state.hpp>
#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch {

namespace detail {

// What both directions share: the wait.
template <class T>
class SharedAwaiter : public Suspension {
public:
    using loop_awaitable = void;
    SharedAwaiter(const SharedAwaiter&) = delete;
    SharedAwaiter& operator=(const SharedAwaiter&) = delete;

protected:
    explicit SharedAwaiter(std::shared_ptr<SharedChannelState<T>> channel) noexcept : channel_(std::move(channel)) {}
    // The task goes on, or is destroyed while it waits.
    ~SharedAwaiter()
    {
        if (ticket_ == nullptr) return;
        ticket_->waiter = nullptr;
        channel_->give_back(*ticket_);
    }
    void wait(TaskControl& task, std::coroutine_handle<> handle, bool receives, std::list<Sent<T>> value,
              const lw_awaited& what)
    {
        ticket_ = std::make_shared<Ticket<T>>(channel_, task, receives);
        ticket_->value = std::move(value);
        task.suspend(handle, *this, &what);
        channel_->wait(*ticket_);
    }
    void throw_if_interrupted()
    {
        if (std::exchange(interrupted_, false)) ticket_->waiter->deliver();
    }

    const std::shared_ptr<SharedChannelState<T>> channel_;
    std::shared_ptr<Ticket<T>> ticket_;  // null: it had not to wait

private:
    // Served already: that comes first, and wakes the task.
    void interrupt() noexcept override
    {
        if (!channel_->interrupt(*ticket_)) return;
        interrupted_ = true;
        ticket_->waiter->wake();
    }

    bool interrupted_ = false;
};

template <class T>
class [[nodiscard]] SharedSendAwaiter final : public SharedAwaiter<T> {
public:
    SharedSendAwaiter(std::shared_ptr<SharedChannelState<T>> channel, T value) : SharedAwaiter<T>(std::move(channel))
    {
        value_.emplace_back(std::move(value));
    }
    bool await_ready() { return this->channel_->send(value_); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle)
    {
        this->wait(handle.promise().task(), handle, false, std::move(value_), this->channel_->full);
    }
    void await_resume()
    {
        if (this->ticket_ == nullptr) return;
        this->throw_if_interrupted();
        if (this->ticket_->refused) throw ChannelClosed();
    }

private:
    std::list<Sent<T>> value_;
};

template <class T>
class [[nodiscard]] SharedReceiveAwaiter final : public SharedAwaiter<T> {
public:
    explicit SharedReceiveAwaiter(std::shared_ptr<SharedChannelState<T>> channel) noexcept
        : SharedAwaiter<T>(std::move(channel))
    {
    }
    bool await_ready() noexcept { return this->channel_->receive(value_); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle)
    {
        this->wait(handle.promise().task(), handle, true, {}, this->channel_->empty);
    }
    std::optional<T> await_resume()
    {
        if (this->ticket_ != nullptr) {
            this->throw_if_interrupted();
            value_ = this->channel_->take(*this->ticket_);
        }
        if (value_.empty()) return std::nullopt;
        return std::optional<T>(std::move(value_.front().value));
    }

private:
    std::list<Sent<T>> value_;
};

}  // namespace detail

// Copies are the same channel, which lives as long as one of them or a task that waits at it. Any thread may close it,
// and try; tasks of any loop wait. Values are handed to tasks in the order in which they were sent. Waiting is
// cancellable; what has been handed over by then stays so, and Cancelled comes at the next await. Destroying a loop
// destroys its waiting tasks: values that had been handed to them and were not taken return to the channel, before
// those that were sent later, and go to the next task, on whichever loop. Who sends when no task is left that receives
// waits once the channel is full. `T`'s destructor may run on any of the threads.
template <class T>
class SharedChannel {
public:
    // `capacity` 0 is a rendezvous: who sends waits until another task receives. `name` is what `loopwatch ps` calls
    // it; it must live as long. Errors: std::bad_alloc.
    explicit SharedChannel(std::size_t capacity, const char* name = nullptr)
        : state_(std::make_shared<detail::SharedChannelState<T>>(capacity, name))
    {
    }

    std::size_t size() const { return state_->size(); }
    bool closed() const { return state_->closed(); }
    // co_await it: waits while the channel is full. Errors: ChannelClosed.
    detail::SharedSendAwaiter<T> send(T value) { return {state_, std::move(value)}; }
    // co_await it: waits while the channel is empty. Returns nullopt once the channel is closed and empty; then no
    // value is on its way to a task of any loop either.
    detail::SharedReceiveAwaiter<T> receive() { return detail::SharedReceiveAwaiter<T>(state_); }
    // False: it is full, or at a rendezvous no task waits to receive. Errors: ChannelClosed.
    bool try_send(T value)
    {
        std::list<detail::Sent<T>> node;
        node.emplace_back(std::move(value));
        return state_->send(node);
    }
    // Nothing: it is empty (or closed, see closed()), and nobody waits to send.
    std::optional<T> try_receive()
    {
        std::list<detail::Sent<T>> node;
        if (!state_->receive(node) || node.empty()) return std::nullopt;
        return std::optional<T>(std::move(node.front().value));
    }
    // Nobody may send any more; what is in it can still be received. Who waits to send gets ChannelClosed.
    void close() noexcept { state_->close(); }

private:
    std::shared_ptr<detail::SharedChannelState<T>> state_;
};

}  // namespace loopwatch
