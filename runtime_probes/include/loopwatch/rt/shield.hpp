// SPDX-License-Identifier: Apache-2.0
//
// shield: work that is not cancelled with the task that waits for it, what asyncio calls asyncio.shield.
#pragma once

#include <source_location>
#include <utility>

#include <loopwatch/rt/loop.hpp>
#include <loopwatch/rt/spawn.hpp>
#include <loopwatch/rt/task.hpp>

namespace loopwatch {

// The result of `task`, run as a task of its own. Cancelling who waits ends the wait, with Cancelled; `task` runs on,
// detached, and must own what it uses: an exception it ends with is unretrieved then. The end of the loop ends it:
// Loop::shut_down and run() cancel it like all others. To keep a handle of it, spawn it: awaiting a JoinHandle shields
// likewise. Errors: what `task` throws; Cancelled also if `task` was cancelled itself.
template <class T>
Task<T> shield(Task<T> task, std::source_location where = std::source_location::current())
{
    const auto running = spawn(*Loop::current(), std::move(task), SpawnOptions{.name = "shield"}, where);
    co_return co_await running;
}

}  // namespace loopwatch
