// SPDX-License-Identifier: Apache-2.0
//
// Debug mode, what asyncio calls so: slow callbacks and misuse of tasks are reported within the process, one line each,
// and tasks remember who spawned them. On by LOOPWATCH_DEBUG=1, by run(main(), {.debug = true}), or here; a session of
// `loopwatch --debug` reports the same outside, except for "reuse". Off, it costs nothing.
#pragma once

#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include <loopwatch/loop_state.h>

namespace loopwatch {

class Loop;

struct Finding {
    const char* type;              // as in loopwatch's JSON: "slow_callback", "task_destroyed_pending", …; or "reuse"
    std::string text;              // one line
    lw_u64 task = 0;               // id of the task it is about; 0: none
    std::exception_ptr exception;  // of exception_unretrieved
};

// Of the whole process. Any thread.
void set_debug(bool on);
bool debug() noexcept;

// Sets the handler, called on the thread where the finding occurs; nullptr prints to stderr. Its exceptions are
// ignored. Call before any loop runs.
void set_finding_handler(std::function<void(const Finding&)> handler);
// Sets the handler of exceptions that no code retrieved. They are reported also without debug mode: to this handler,
// else to the one above, else to stderr.
void set_exception_handler(std::function<void(std::exception_ptr, const Finding&)> handler);
// In debug mode, reports a dispatch or a poll that takes at least `duration`. Default: 100 ms. What takes less than
// the loop's floor (100 µs, Loop::set_floor, LOOPWATCH_FLOOR) is never reported; of a poll, ten times that.
void set_slow_callback_duration(std::chrono::nanoseconds duration) noexcept;

struct TaskSnapshot {
    lw_u64 id = 0;
    std::string name, state;         // state: created, running, suspended or ready
    std::string created_at;          // file:line
    std::vector<std::string> stack;  // its coroutines, innermost first: "function file:line"
};

// The tasks of a loop that are not finished, youngest first. On the loop's thread.
std::vector<TaskSnapshot> all_tasks(const Loop& loop);
// Tasks of the loop running on this thread; empty if there is none.
std::vector<TaskSnapshot> all_tasks();
// The coroutines in which the task stands, outermost first, as asyncio prints them. On the loop's thread. False: there
// is no such task.
bool print_stack(lw_u64 task, std::FILE* file = stderr);

}  // namespace loopwatch
