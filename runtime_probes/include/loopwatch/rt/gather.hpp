// SPDX-License-Identifier: Apache-2.0
//
// gather: runs coroutines side by side and gives all their results, what asyncio calls asyncio.gather. As in a
// TaskGroup, one that fails ends the others.
#pragma once

#include <exception>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/task.hpp>
#include <loopwatch/rt/task_group.hpp>

namespace loopwatch {

namespace detail {

// What stands for `void` among results.
template <class T>
using Gathered = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
Task<> keep(Task<T> task, std::optional<Gathered<T>>& result)
{
    if constexpr (std::is_void_v<T>) {
        co_await std::move(task);
        result.emplace();
    } else {
        result.emplace(co_await std::move(task));
    }
}

// A result is missing if its task was cancelled, by a cancellation of `waiter` or otherwise.
template <class T>
T gathered(std::optional<T>& result, TaskControl& waiter)
{
    if (result) return std::move(*result);
    if (waiter.cancel_pending()) waiter.deliver();
    throw Cancelled("a gathered task was cancelled");
}

// Spawns all of them, and waits for all that were spawned, whatever fails on the way: what they write to is there.
// Returns who waited.
template <class Spawn>
Task<TaskControl&> gather_in_group(Spawn spawn_all)
{
    TaskGroup group(*Loop::current());
    std::exception_ptr failure;
    try {
        spawn_all(group);
    } catch (...) {
        failure = std::current_exception();
        group.cancel("not all could be gathered");
    }
    co_await GroupAccess::end_of(group);
    if (failure != nullptr) std::rethrow_exception(failure);
    GroupAccess::conclude(group);
    co_return co_await ThisTask();
}

}  // namespace detail

// `auto [price, stock] = co_await gather(price_of(article), stock_of(article));` — std::monostate for a Task<void>.
// Errors, when all have ended: the exception of the one that failed, ExceptionGroup if several did; Cancelled if one
// was cancelled. Cancelling who waits cancels all of them; if all end with a result nevertheless, the results come
// first, and Cancelled at the next await.
template <class... Ts>
Task<std::tuple<detail::Gathered<Ts>...>> gather(Task<Ts>... tasks)
{
    std::tuple<std::optional<detail::Gathered<Ts>>...> results;
    detail::TaskControl& waiter = co_await detail::gather_in_group([&](TaskGroup& group) {
        std::apply([&](auto&... result) { (group.spawn(detail::keep(std::move(tasks), result), "gather"), ...); },
                   results);
    });
    co_return std::apply(
        [&](auto&... result) { return std::tuple<detail::Gathered<Ts>...>{detail::gathered(result, waiter)...}; },
        results);
}

// The results in the order of the tasks.
template <class T>
Task<std::vector<detail::Gathered<T>>> gather(std::vector<Task<T>> tasks)
{
    std::vector<std::optional<detail::Gathered<T>>> results(tasks.size());
    detail::TaskControl& waiter = co_await detail::gather_in_group([&](TaskGroup& group) {
        for (std::size_t i = 0; i < tasks.size(); ++i)
            group.spawn(detail::keep(std::move(tasks[i]), results[i]), "gather");
    });
    std::vector<detail::Gathered<T>> all;
    all.reserve(results.size());
    for (auto& result : results) all.push_back(detail::gathered(result, waiter));
    co_return all;
}

}  // namespace loopwatch
