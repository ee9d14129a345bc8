// SPDX-License-Identifier: Apache-2.0
//
// SharedChannel<T>: a Channel between tasks of several loops, each in its own thread.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <loopwatch/rt/channel.hpp>
#include <loopwatch/rt/detail/mailbox.hpp>
#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch {

template <class T>
class SharedChannel;

namespace detail {

template <class T>
class SharedChannelState;

// A value in a channel.
template <class T>
struct Sent {
    explicit Sent(T&& sent) : value(std::move(sent)) {}
    T value;
    std::uint64_t number = 0;  // in the order in which the channel took them
};

// One task that waits at a channel. Guarded by the channel's mutex, but for `waiter`, which belongs to the thread of
// its loop, and `self` and `next_served`, which belong to whoever takes the ticket out of the row until it arrives.
template <class T>
class Ticket final : public Inbound, public std::enable_shared_from_this<Ticket<T>> {
public:
    Ticket(std::shared_ptr<SharedChannelState<T>> channel, TaskControl& task, bool receives)
        : receives(receives), waiter(&task), channel_(std::move(channel)), mailbox_(task.mailbox())
    {
    }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    void send() noexcept
    {
        const auto mailbox = mailbox_;  // the ticket may be gone before the push has returned
        mailbox->push(*this);
    }
    void arrive(Loop* loop) noexcept override
    {
        const auto own = std::move(self);
        if (loop == nullptr)
            channel_->give_back(*this);
        else if (waiter != nullptr)
            waiter->wake();
    }

    const bool receives;
    TaskControl* waiter;       // null: it does not wait any more
    std::list<Sent<T>> value;  // at most one: to be sent, or received
    bool linked = false;       // it waits in a row
    bool handed = false;       // it was given a value that its task has not taken
    bool refused = false;      // the channel was closed
    Ticket* next = nullptr;    // in the row
    Ticket* previous = nullptr;
    Ticket* next_served = nullptr;  // of those that one call has taken out
    std::shared_ptr<Ticket> self;   // while its wake-up is under way

private:
    std::shared_ptr<SharedChannelState<T>> channel_;
    std::shared_ptr<Mailbox> mailbox_;
};

// Values move from list to list: nothing allocates, throws or copies a T while the mutex is held.
template <class T>
class SharedChannelState : public std::enable_shared_from_this<SharedChannelState<T>> {
public:
    SharedChannelState(std::size_t capacity, const char* name) noexcept
        : empty{LW_AWAITED_CHANNEL, -1, 0, name}, full{LW_AWAITED_CHANNEL, -1, capacity, name}, capacity_(capacity)
    {
    }

    std::size_t size() const
    {
        const std::lock_guard lock(mutex_);
        return values_.size();
    }
    bool closed() const
    {
        const std::lock_guard lock(mutex_);
        return closed_;
    }
    void close() noexcept
    {
        Ticket<T>* served = nullptr;
        {
            const std::lock_guard lock(mutex_);
            closed_ = true;
            settle(served);
        }
        wake(served);
    }
    // True: `value` was taken. Errors: ChannelClosed.
    bool send(std::list<Sent<T>>& value)
    {
        Ticket<T>* served = nullptr;
        {
            const std::lock_guard lock(mutex_);
            if (closed_) throw ChannelClosed();
            if (values_.size() >= capacity_ && receivers_.first == nullptr) return false;
            append(value);
            settle(served);
        }
        wake(served);
        return true;
    }
    // True: into `value`, or the channel is closed and nothing comes any more.
    bool receive(std::list<Sent<T>>& value) noexcept
    {
        Ticket<T>* served = nullptr;
        {
            const std::lock_guard lock(mutex_);
            if (values_.empty() && senders_.first != nullptr) serve_sender(served);  // a rendezvous
            if (values_.empty() && !take_back()) return closed_;
            value.splice(value.end(), values_, values_.begin());
            settle(served);
        }
        wake(served);
        return true;
    }
    // The task waits, unless what it waits for came meanwhile: it is woken then.
    void wait(Ticket<T>& ticket) noexcept
    {
        Ticket<T>* served = nullptr;
        {
            const std::lock_guard lock(mutex_);
            row_of(ticket).append(ticket);
            ticket.linked = true;
            settle(served);
        }
        wake(served);
    }
    // False: its wake-up is under way.
    bool interrupt(Ticket<T>& ticket) noexcept
    {
        const std::lock_guard lock(mutex_);
        if (!ticket.linked) return false;
        stop_waiting(ticket);
        return true;
    }
    // What it was given and does not take any more goes to the next one.
    void give_back(Ticket<T>& ticket) noexcept
    {
        Ticket<T>* served = nullptr;
        {
            const std::lock_guard lock(mutex_);
            if (ticket.linked) stop_waiting(ticket);
            if (!ticket.handed) return;
            forget_handed(ticket);
            auto later = values_.begin();
            while (later != values_.end() && later->number < ticket.value.front().number) ++later;
            values_.splice(later, ticket.value);
            settle(served);
        }
        wake(served);
    }
    // What the task was given. If that is nothing, the channel was closed: what is left by now.
    std::list<Sent<T>> take(Ticket<T>& ticket) noexcept
    {
        const std::lock_guard lock(mutex_);
        if (ticket.handed)
            forget_handed(ticket);
        else if (closed_ && (!values_.empty() || take_back()))
            ticket.value.splice(ticket.value.end(), values_, values_.begin());
        return std::move(ticket.value);
    }

    const lw_awaited empty, full;

private:
    struct Row {
        Ticket<T>* first = nullptr;
        Ticket<T>* last = nullptr;

        void append(Ticket<T>& ticket) noexcept
        {
            ticket.previous = std::exchange(last, &ticket);
            (ticket.previous != nullptr ? ticket.previous->next : first) = &ticket;
        }
        void remove(Ticket<T>& ticket) noexcept
        {
            (ticket.previous != nullptr ? ticket.previous->next : first) = ticket.next;
            (ticket.next != nullptr ? ticket.next->previous : last) = ticket.previous;
            ticket.next = ticket.previous = nullptr;
        }
    };

    Row& row_of(const Ticket<T>& ticket) noexcept { return ticket.receives ? receivers_ : senders_; }
    void stop_waiting(Ticket<T>& ticket) noexcept
    {
        row_of(ticket).remove(ticket);
        ticket.linked = false;
    }
    void forget_handed(Ticket<T>& ticket) noexcept
    {
        handed_.remove(ticket);
        ticket.handed = false;
    }
    // For a task that runs and would see the end of a closed channel: a value may be on its way to a task whose loop
    // does not run any more. True: the oldest such value is in `values_`.
    bool take_back() noexcept
    {
        if (!closed_ || handed_.first == nullptr) return false;
        Ticket<T>& ticket = *handed_.first;
        forget_handed(ticket);
        values_.splice(values_.end(), ticket.value);
        return true;
    }
    void append(std::list<Sent<T>>& value) noexcept
    {
        value.front().number = next_number_++;
        values_.splice(values_.end(), value);
    }
    // Whom there is something for, in `served`, to be woken when the mutex is free.
    void settle(Ticket<T>*& served) noexcept
    {
        for (;;) {
            if (closed_ && senders_.first != nullptr) {
                senders_.first->refused = true;
                serve(senders_, served);
            } else if (receivers_.first != nullptr && !values_.empty()) {
                Ticket<T>& receiver = *receivers_.first;
                receiver.value.splice(receiver.value.end(), values_, values_.begin());
                serve(receivers_, served);
                receiver.handed = true;
                handed_.append(receiver);
            } else if (receivers_.first != nullptr && closed_) {
                serve(receivers_, served);
            } else if (senders_.first != nullptr && (values_.size() < capacity_ || receivers_.first != nullptr)) {
                serve_sender(served);
            } else {
                return;
            }
        }
    }
    void serve_sender(Ticket<T>*& served) noexcept
    {
        append(senders_.first->value);
        serve(senders_, served);
    }
    void serve(Row& row, Ticket<T>*& served) noexcept
    {
        Ticket<T>& ticket = *row.first;
        row.remove(ticket);
        ticket.linked = false;
        ticket.self = ticket.shared_from_this();
        ticket.next_served = std::exchange(served, &ticket);
    }
    // Where a loop is gone, what was handed to its tasks comes back from within send(): one after the other, not nested
    // as deep as there are such tasks.
    static void wake(Ticket<T>* served) noexcept
    {
        static thread_local Ticket<T>** under_way = nullptr;
        if (under_way != nullptr) {
            while (served != nullptr) {
                Ticket<T>* const ticket = std::exchange(served, served->next_served);
                ticket->next_served = std::exchange(*under_way, ticket);
            }
            return;
        }
        under_way = &served;
        while (served != nullptr) std::exchange(served, served->next_served)->send();
        under_way = nullptr;
    }

    mutable std::mutex mutex_;
    const std::size_t capacity_;
    std::list<Sent<T>> values_;
    std::uint64_t next_number_ = 0;
    Row senders_, receivers_;
    Row handed_;  // receivers that were given a value and have not taken it, in the order of the values
    bool closed_ = false;
};

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
