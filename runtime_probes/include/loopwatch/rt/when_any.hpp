// SPDX-License-Identifier: Apache-2.0
//
// when_any: runs coroutines side by side, and gives the result of the first one that ends; what asyncio calls
// asyncio.wait(…, return_when=FIRST_COMPLETED), with the others cancelled and awaited.
#pragma once

#include <cstddef>
#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <loopwatch/rt/gather.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/task.hpp>
#include <loopwatch/rt/task_group.hpp>

namespace loopwatch {

// The first of several tasks of one type.
template <class T>
struct FirstOf {
    std::size_t index;          // which task it was
    detail::Gathered<T> value;  // std::monostate for a Task<void>
};

namespace detail {

// What the tasks of a when_any share.
struct Race {
    static constexpr std::size_t nobody = ~std::size_t{0};

    TaskGroup& group;
    std::size_t winner = nobody;
    std::exception_ptr error = nullptr;  // the winner's

    bool won(TaskControl& task, std::size_t index) noexcept
    {
        if (winner != nobody) return false;
        winner = index;
        GroupAccess::cancel_others(group, task.id(), "another task was first");
        return true;
    }
};

template <class T, class Keep>
Task<> compete(Race& race, std::size_t index, Task<T> task, Keep keep)
{
    TaskControl& self = co_await ThisTask();
    std::optional<Gathered<T>> value;
    std::exception_ptr error;
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(task);
            value.emplace();
        } else {
            value.emplace(co_await std::move(task));
        }
    } catch (...) {
        error = std::current_exception();
    }
    if (!race.won(self, index)) {
        if (error != nullptr) std::rethrow_exception(error);  // this task's own, which nobody retrieves
    } else if (error != nullptr) {
        race.error = error;
    } else {
        try {
            keep(std::move(*value));
        } catch (...) {  // of the result's move
            race.error = std::current_exception();
        }
    }
}

// Throws what the winner threw.
template <class Spawn>
Task<> run_race(Race& race, Spawn spawn_all)
{
    std::exception_ptr failure;
    try {
        spawn_all();
    } catch (...) {
        failure = std::current_exception();
        race.group.cancel("not all could be started");
    }
    TaskControl* const waiter = co_await GroupAccess::end_of(race.group);
    if (failure != nullptr) std::rethrow_exception(failure);
    const bool is_failure = failed(race.error);
    if (race.error != nullptr && !is_failure && waiter != nullptr && waiter->cancel_pending()) waiter->deliver();
    if (race.error != nullptr) std::rethrow_exception(race.error);
}

}  // namespace detail

// `auto answer = co_await when_any(ask(primary), ask(replica));` — a std::variant, whose index() is that of the first
// task that ended. The others are cancelled, and have ended when this returns; what they still return is dropped, what
// they throw is an unretrieved exception. Errors: what the first task threw. Cancelling who waits cancels all of them;
// if one has ended with a result or an exception by then, that comes first, and Cancelled at the next await.
template <class... Ts>
requires(sizeof...(Ts) > 0) Task<std::variant<detail::Gathered<Ts>...>> when_any(Task<Ts>... tasks)
{
    std::optional<std::variant<detail::Gathered<Ts>...>> result;
    TaskGroup group(*Loop::current());
    detail::Race race{group};
    co_await detail::run_race(race, [&] {
        [&]<std::size_t... I>(std::index_sequence<I...>)
        {
            (group.spawn(detail::compete(race, I, std::move(tasks),
                                         [&result](detail::Gathered<Ts>&& value) {
                                             result.emplace(std::in_place_index<I>, std::move(value));
                                         }),
                         "when_any"),
             ...);
        }
        (std::index_sequence_for<Ts...>());
    });
    co_return std::move(*result);
}

// The same of any number. Errors: std::invalid_argument of none.
template <class T>
Task<FirstOf<T>> when_any(std::vector<Task<T>> tasks)
{
    if (tasks.empty()) throw std::invalid_argument("loopwatch: when_any of no task");
    std::optional<FirstOf<T>> result;
    TaskGroup group(*Loop::current());
    detail::Race race{group};
    co_await detail::run_race(race, [&] {
        for (std::size_t i = 0; i < tasks.size(); ++i)
            group.spawn(detail::compete(race, i, std::move(tasks[i]),
                                        [&result, i](detail::Gathered<T>&& value) {
                                            result.emplace(FirstOf<T>{i, std::move(value)});
                                        }),
                        "when_any");
    });
    co_return std::move(*result);
}

}  // namespace loopwatch
