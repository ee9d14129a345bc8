// SPDX-License-Identifier: Apache-2.0
//
// Debug mode, what asyncio calls so: slow callbacks and misuse of tasks are told within the process, one line each, and
// tasks remember who spawned them. On by LOOPWATCH_DEBUG=1, by run(main(), {.debug = true}), or here; a session of
// `loopwatch --debug` has the same told outside. Off, it costs nothing.
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
    const char* type;              // as in loopwatch's JSON: "slow_callback", "task_destroyed_pending", …
    std::string text;              // one line
    lw_u64 task = 0;               // id of the task it is about; 0: none
    std::exception_ptr exception;  // of exception_unretrieved
};

// Of the whole process. Any thread.
void set_debug(bool on);
bool debug() noexcept;

// Who is told, on the thread where it happened; null: a line to stderr. What it throws is dropped. Before loops run.
void set_finding_handler(std::function<void(const Finding&)> handler);
// Who is told of a task's exception that nobody retrieved, instead of the handler above. Of those everybody is told
// also without debug mode: this handler, else the one above, else a line to stderr.
void set_exception_handler(std::function<void(std::exception_ptr, const Finding&)> handler);
// How long a dispatch may take, in debug mode. 100 ms.
void set_slow_callback_duration(std::chrono::nanoseconds duration) noexcept;

struct TaskSnapshot {
    lw_u64 id = 0;
    std::string name, state;         // state: created, running, suspended, ready or finished
    std::string created_at;          // file:line
    std::vector<std::string> stack;  // its coroutines, innermost first: "function file:line"
};

// The tasks of a loop that are not finished, youngest first. On the loop's thread.
std::vector<TaskSnapshot> all_tasks(const Loop& loop);
// Of the loop that this thread runs; none: of none.
std::vector<TaskSnapshot> all_tasks();
// The coroutines in which the task stands, outermost first, as asyncio prints them. On the loop's thread. False: there
// is no such task.
bool print_stack(lw_u64 task, std::FILE* file = stderr);

}  // namespace loopwatch
