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

#include <loopwatch/rt/debug.hpp>
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

// Runs `main` on a loop of its own on this thread; when it ends, the tasks that are left are cancelled and waited for.
// Gives what `main` returned, or throws what it threw; LoopStopped if the loop was stopped before `main` had ended.
template <class T>
T run(Task<T> main, RunOptions options = {}, std::source_location where = std::source_location::current())
{
    if (options.debug) set_debug(true);
    detail::Outcome<T> outcome;
    bool stopped = false, in_shut_down = false;
    {
        Loop loop(std::move(options.name));
        spawn(loop, detail::run_main(std::move(main), outcome, in_shut_down), SpawnOptions{.name = "main"}, where);
        loop.run();
        stopped = outcome.empty();
        in_shut_down = true;
        loop.shut_down(options.cleanup_limit);
    }
    if (stopped && !detail::failed(outcome.error())) throw LoopStopped();
    return outcome.take();
}

}  // namespace loopwatch
