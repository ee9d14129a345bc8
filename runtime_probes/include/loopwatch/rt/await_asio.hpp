// SPDX-License-Identifier: Apache-2.0
//
// Awaiting Asio's own coroutines from a task: `co_await await_asio(session(socket))` of an asio::awaitable. The other
// direction is use_task. Not part of rt.hpp: it takes Asio's coroutine headers.
#pragma once

#include <exception>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

#include <loopwatch/rt/detail/asio.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>

#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/task.hpp>
#include <loopwatch/rt/use_task.hpp>

namespace loopwatch {

namespace detail {

inline bool is_aborted(const std::exception_ptr& error) noexcept
{
    try {
        std::rethrow_exception(error);
    } catch (const std::system_error& thrown) {
        return thrown.code() == asio::error::operation_aborted;
    } catch (...) {
        return false;
    }
}

}  // namespace detail

// The result of `coroutine`, which runs on this task's loop. Its steps are Asio's handlers: they run while the loop
// polls, are no dispatches, and Loop::current() is this loop in them. Cancelling who waits cancels it (terminal
// cancellation, which awaitables obey unless they disable it), and waits for its end: Cancelled if it ended with
// operation_aborted, else its result or exception, and Cancelled at the next await. T has to be default constructible,
// as Asio has it. Errors: what `coroutine` throws.
template <class T, class Executor>
Task<T> await_asio(asio::awaitable<T, Executor> coroutine)
{
    std::exception_ptr error;
    detail::TaskControl& task = co_await detail::ThisTask();
    if constexpr (std::is_void_v<T>) {
        error = co_await asio::co_spawn(task.loop().context(), std::move(coroutine), use_task_nothrow);
        if (error == nullptr) co_return;
    } else {
        auto [thrown, value] = co_await asio::co_spawn(task.loop().context(), std::move(coroutine), use_task_nothrow);
        if (thrown == nullptr) co_return std::move(value);
        error = std::move(thrown);
    }
    if (task.cancel_pending() && detail::is_aborted(error)) task.deliver();
    std::rethrow_exception(error);
}

}  // namespace loopwatch
