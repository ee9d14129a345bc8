// SPDX-License-Identifier: Apache-2.0
//
// What two looks at the tasks of a process show to be wrong: tasks that wake themselves all the time, that do not
// yield, that nobody will wake any more; places that spawn more and more; coroutines that keep much.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace loopwatch {

struct LintTask {
    std::uint64_t id = 0;
    std::string name;
    std::uint64_t created_at = 0;  // the place, as a number
    std::uint64_t resumes = 0;
    bool waited = false;  // it has waited for something but its turn
    bool running = false;
    std::uint64_t awaits = 0, holder = 0;  // the task it joins, and the one that has the lock it waits for; 0: none
    std::uint64_t frame_bytes = 0,
                  frame_of = 0;  // of its largest coroutine frame, and the coroutine's place; 0: not known
};

struct TaskLint {
    std::string rule;  // self_wake, never_yields, cannot_wake, growing_site, large_frame
    std::string text;
    std::uint64_t task = 0, place = 0;  // whom or what it concerns; 0: not one
};

// `before` are the same process's `elapsed_ns` earlier; none: there was no look before, and growth is not told.
// A coroutine frame may have `max_frame` bytes.
std::vector<TaskLint> lint_tasks(std::span<const LintTask> now, std::span<const LintTask> before,
                                 std::uint64_t elapsed_ns, std::uint64_t max_frame);

}  // namespace loopwatch
