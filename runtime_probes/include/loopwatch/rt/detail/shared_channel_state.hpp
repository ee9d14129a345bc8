// SPDX-License-Identifier: Apache-2.0
//
// What the tasks at a SharedChannel share: its values, who waits for them, and what is on its way to a task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include <loopwatch/loop_state.h>
#include <loopwatch/rt/channel.hpp>
#include <loopwatch/rt/detail/mailbox.hpp>
#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch::detail {

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

}  // namespace loopwatch::detail
