// SPDX-License-Identifier: Apache-2.0
//
// Channel<T>: values handed from task to task, at most `capacity` on the way; what asyncio calls asyncio.Queue.
#pragma once

#include <coroutine>
#include <cstddef>
#include <deque>
#include <exception>
#include <optional>
#include <utility>

#include <loopwatch/rt/detail/wait_list.hpp>

namespace loopwatch {

// Thrown by send() to a channel that is closed.
class ChannelClosed : public std::exception {
public:
    const char* what() const noexcept override { return "the channel is closed"; }
};

template <class T>
class Channel;

namespace detail {

template <class T>
class [[nodiscard]] SendAwaiter final : public Waiter {
public:
    using loop_awaitable = void;
    SendAwaiter(Channel<T>& channel, T value) : channel_(channel), value_(std::move(value)) {}

    bool await_ready();
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept
    {
        wait_in(channel_.senders_, handle, channel_.full_);
    }
    void await_resume()
    {
        if (sent_) return;
        this->resumed();
        throw ChannelClosed();
    }

private:
    friend class Channel<T>;

    Channel<T>& channel_;
    T value_;
    bool sent_ = false;
};

template <class T>
class [[nodiscard]] ReceiveAwaiter final : public Waiter {
public:
    using loop_awaitable = void;
    explicit ReceiveAwaiter(Channel<T>& channel) noexcept : channel_(channel) {}

    bool await_ready();
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept
    {
        wait_in(channel_.receivers_, handle, channel_.empty_);
    }
    std::optional<T> await_resume()
    {
        if (!value_) this->resumed();
        return std::move(value_);
    }

private:
    friend class Channel<T>;

    Channel<T>& channel_;
    std::optional<T> value_;
};

}  // namespace detail

// Belongs to the thread of its tasks' loop (between loops: SharedChannel). Must outlive who waits for it. Waiting is
// cancellable; a value that has been handed over by then stays so, and Cancelled comes at the next await.
template <class T>
class Channel {
public:
    // `capacity` 0 is a rendezvous: who sends waits until another task receives. `name` is what `loopwatch ps` calls
    // it; it must live as long. Errors: std::bad_alloc.
    explicit Channel(std::size_t capacity, const char* name = nullptr)
        : capacity_(capacity), empty_{LW_AWAITED_CHANNEL, -1, 0, name}, full_{LW_AWAITED_CHANNEL, -1, capacity_, name}
    {
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    std::size_t size() const noexcept { return values_.size(); }
    bool closed() const noexcept { return closed_; }
    // co_await it: waits while the channel is full. Errors: ChannelClosed.
    detail::SendAwaiter<T> send(T value) { return detail::SendAwaiter<T>(*this, std::move(value)); }
    // co_await it: waits while the channel is empty. Returns nullopt once the channel is closed and empty.
    detail::ReceiveAwaiter<T> receive() noexcept { return detail::ReceiveAwaiter<T>(*this); }
    // False: it is full, or at a rendezvous no task waits to receive; `value` stays as it is. Errors: ChannelClosed.
    bool try_send(T&& value)
    {
        if (closed_) throw ChannelClosed();
        return push(value);
    }
    bool try_send(const T& value)
    {
        T copy(value);
        return try_send(std::move(copy));
    }
    // Nothing: it is empty (or closed, see closed()), and nobody waits to send.
    std::optional<T> try_receive() { return pop(); }
    // Nobody may send any more; what is in it can still be received. Who waits to send gets ChannelClosed.
    void close() noexcept
    {
        closed_ = true;
        while (senders_.front("Channel::close") != nullptr) senders_.wake_front();
        while (receivers_.front("Channel::close") != nullptr) receivers_.wake_front();
    }

private:
    friend class detail::SendAwaiter<T>;
    friend class detail::ReceiveAwaiter<T>;

    // Somebody receives only while nothing stands in it: they need not queue.
    bool push(T& value)
    {
        if (detail::Waiter* const receiver = receivers_.front("Channel::send")) {
            static_cast<detail::ReceiveAwaiter<T>*>(receiver)->value_.emplace(std::move(value));
            receivers_.wake_front();
        } else if (values_.size() < capacity_) {
            values_.push_back(std::move(value));
        } else {
            return false;
        }
        return true;
    }
    std::optional<T> pop()
    {
        std::optional<T> value;
        if (!values_.empty()) {
            value.emplace(std::move(values_.front()));
            values_.pop_front();
        }
        if (detail::Waiter* const waiting = senders_.front("Channel::receive")) {
            auto& sender = static_cast<detail::SendAwaiter<T>&>(*waiting);
            if (value)
                values_.push_back(std::move(sender.value_));
            else  // a rendezvous
                value.emplace(std::move(sender.value_));
            sender.sent_ = true;
            senders_.wake_front();
        }
        return value;
    }

    const std::size_t capacity_;
    std::deque<T> values_;
    detail::WaitList senders_, receivers_;
    const lw_awaited empty_, full_;
    bool closed_ = false;
};

template <class T>
bool detail::SendAwaiter<T>::await_ready()
{
    if (channel_.closed_) return true;
    return sent_ = channel_.push(value_);
}

template <class T>
bool detail::ReceiveAwaiter<T>::await_ready()
{
    value_ = channel_.pop();
    return value_.has_value() || channel_.closed_;
}

}  // namespace loopwatch
