// SPDX-License-Identifier: Apache-2.0
//
// What `loopwatch ps`, `tree` and `where` show: the tasks of a live process, read from outside. Nothing is attached,
// written or run, so it works on a process that hangs or is stopped, and for its own user without root.
#pragma once

#include <cstdint>
#include <string>

#include "command/option_groups.hpp"
#include "util/result.hpp"

namespace loopwatch {

enum class TaskOrder { id, age, busy, resumes };
enum class TaskShape { table, tree, whole };

struct ListingOptions {
    ProcessOptions processes;
    ListOutputOptions output;
    TaskShape shape = TaskShape::table;
    TaskOrder order = TaskOrder::id;
    std::string state;                 // only tasks in it; empty: all
    std::uint64_t task = 0;            // only this one; 0: all
    std::string task_name;             // which it must have; empty: any
    bool repeat = false;               // again each interval
    bool lint = false;                 // a second look after an interval, and what both show
    std::uint64_t max_frame = 16'384;  // lint: bytes that a coroutine frame may have, as clippy's large_futures
    std::uint64_t interval_ns = 1'000'000'000;  // of lint and repeat
};

// Fails with no_such_target if there is no such process or task, with not_permitted if its memory may not be read or it
// carries no tasks of ours.
Result<ExitCode> list_tasks(const ListingOptions& options);

}  // namespace loopwatch
