// SPDX-License-Identifier: Apache-2.0
//
// AsyncGenerator<T>: a coroutine that yields values and may wait between them, what Python calls an asynchronous
// generator:
//
//   AsyncGenerator<Line> lines(tcp::socket& socket) { for (;;) co_yield co_await read_line(socket); }
//   auto all = lines(socket);
//   while (auto line = co_await all.next()) …
#pragma once

#include <coroutine>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <utility>

#include <loopwatch/rt/task.hpp>

namespace loopwatch {

template <class T>
class AsyncGenerator;

namespace detail {

template <class T>
class GeneratorPromise : public PromiseOf<void> {
public:
    AsyncGenerator<T> get_return_object(std::source_location where = std::source_location::current()) noexcept;
    void return_void() { this->outcome_.set_value(); }
    // Back to who awaits next(), as at the end.
    template <class V>
    requires std::convertible_to<V&&, T>
    auto yield_value(V&& value)
    {
        value_.emplace(std::forward<V>(value));
        return this->final_suspend();
    }
    std::optional<T> take_value() { return std::exchange(value_, std::nullopt); }

    bool running = false;  // a task awaits its next value

private:
    std::optional<T> value_;
};

// Awaits the next value: the generator goes on as an activation of the awaiting task.
template <class T>
class [[nodiscard]] NextAwaiter final : private ChildOwner {
public:
    using loop_awaitable = void;
    explicit NextAwaiter(AsyncGenerator<T>& generator) noexcept : generator_(generator) {}
    NextAwaiter(const NextAwaiter&) = delete;
    NextAwaiter& operator=(const NextAwaiter&) = delete;

    bool await_ready() const;
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> awaiter);
    std::optional<T> await_resume();

private:
    void destroy_child() noexcept override;

    AsyncGenerator<T>& generator_;
};

}  // namespace detail

// Movable; lazy: its body runs within next() only, as a part of the task that awaits it, which may be another one each
// time. Destroying it destroys the body where it is suspended: destructors run, nothing is awaited. While a task awaits
// next(), the generator must be neither moved nor destroyed; the task may be destroyed, and the generator with it.
template <class T>
class [[nodiscard]] AsyncGenerator {
public:
    using promise_type = detail::GeneratorPromise<T>;

    AsyncGenerator(AsyncGenerator&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    AsyncGenerator& operator=(AsyncGenerator&& other) noexcept
    {
        if (this != &other) {
            destroy();
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    ~AsyncGenerator() { destroy(); }

    // co_await it: the next value; nothing: the generator has ended. Cancellable: what its body waits for is cancelled,
    // and unless the body catches it, Cancelled ends the generator. Errors: what the body throws, once, nothing comes
    // after it; std::logic_error if another task waits for the next value already, or the generator was moved away.
    detail::NextAwaiter<T> next() noexcept { return detail::NextAwaiter<T>(*this); }

private:
    friend class detail::GeneratorPromise<T>;
    friend class detail::NextAwaiter<T>;
    explicit AsyncGenerator(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
    void destroy() noexcept
    {
        if (handle_) std::exchange(handle_, nullptr).destroy();
    }

    std::coroutine_handle<promise_type> handle_;
};

namespace detail {

template <class T>
AsyncGenerator<T> GeneratorPromise<T>::get_return_object(std::source_location where) noexcept
{
    this->created(where);
    return AsyncGenerator<T>(std::coroutine_handle<GeneratorPromise>::from_promise(*this));
}

template <class T>
bool NextAwaiter<T>::await_ready() const
{
    const auto handle = generator_.handle_;
    if (!handle) throw_gone_task();
    if (handle.promise().running) throw std::logic_error("loopwatch: another task waits for the generator already");
    return handle.done();
}

template <class T>
template <class P>
std::coroutine_handle<> NextAwaiter<T>::await_suspend(std::coroutine_handle<P> awaiter)
{
    const auto handle = generator_.handle_;
    handle.promise().running = true;
    handle.promise().attach(awaiter.promise(), awaiter, *this);
    return handle;
}

template <class T>
std::optional<T> NextAwaiter<T>::await_resume()
{
    auto& promise = generator_.handle_.promise();
    if (!std::exchange(promise.running, false)) return std::nullopt;  // it had ended before
    if (generator_.handle_.done()) promise.outcome().take();
    return promise.take_value();
}

template <class T>
void NextAwaiter<T>::destroy_child() noexcept
{
    generator_.destroy();
}

}  // namespace detail
}  // namespace loopwatch
