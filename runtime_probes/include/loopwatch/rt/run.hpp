// SPDX-License-Identifier: Apache-2.0
//
// run: a whole program in one call, what asyncio calls asyncio.run.
#pragma once

#include <chrono>
#include <exception>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <loopwatch/rt/debug.hpp>
#include <loopwatch/rt/detail/outcome.hpp>
#include <loopwatch/rt/exception_group.hpp>
#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/loop_gone.hpp>
#include <loopwatch/rt/spawn.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

struct RunOptions {
    bool debug = false;  // see debug.hpp; stays on
    std::string name = "main";
    // How long the tasks that are left may take to end once they were cancelled; then they are destroyed.
    std::chrono::nanoseconds cleanup_limit = std::chrono::seconds(10);
};

namespace detail {

// `in_shut_down`: the end of `main` does not stop the loop, which would cut the shut-down short.
template <class T>
Task<> run_main(Task<T> main, Outcome<T>& outcome, const bool& in_shut_down)
{
    try {
        if constexpr (std::is_void_v<T>) {
            co_await std::move(main);
            outcome.set_value();
        } else {
            outcome.set_value(co_await std::move(main));
        }
    } catch (...) {
        outcome.set_exception(std::current_exception());
    }
    if (!in_shut_down) Loop::current()->stop();
}

}  // namespace detail

// Runs `main` on a loop of its own on this thread. When `main` ends, the loop is stopped or a posted callback throws,
// the tasks that are left are cancelled and waited for. Returns what `main` returned. Errors: what `main` or a callback
// threw, ExceptionGroup if several did; otherwise LoopStopped if the loop was stopped before `main` had ended.
template <class T>
T run(Task<T> main, RunOptions options = {}, std::source_location where = std::source_location::current())
{
    if (options.debug) set_debug(true);
    detail::Outcome<T> outcome;
    std::vector<std::exception_ptr> errors;
    bool stopped = false, in_shut_down = false;
    {
        Loop loop(std::move(options.name));
        spawn(loop, detail::run_main(std::move(main), outcome, in_shut_down), SpawnOptions{.name = "main"}, where);
        try {
            loop.run();
        } catch (...) {
            errors.push_back(std::current_exception());
        }
        stopped = outcome.empty();
        if (!stopped && detail::failed(outcome.error())) errors.push_back(outcome.error());
        in_shut_down = true;
        try {
            loop.shut_down(options.cleanup_limit);
        } catch (...) {
            errors.push_back(std::current_exception());
        }
    }
    if (stopped && detail::failed(outcome.error())) errors.push_back(outcome.error());
    if (errors.size() > 1) throw ExceptionGroup(std::move(errors));
    if (!errors.empty()) std::rethrow_exception(errors.front());
    if (stopped) throw LoopStopped();
    return outcome.take();
}

}  // namespace loopwatch
