// SPDX-License-Identifier: Apache-2.0
//
// Live tasks for people: a table as ps prints it, the tree of who awaits whom, one task in full.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/finding.hpp"
#include "analysis/task_tree.hpp"
#include "output/text_style.hpp"
#include "util/result.hpp"

namespace loopwatch {

// Put together one by one: 100,000 of them at a time would take 100 MiB.
struct TaskSource {
    std::vector<TaskLink> links;  // one a task
    std::function<ListedTask(std::size_t)> at;
};

// Hands over some lines at a time, and ends where `write` fails: the whole of a table may be 20 MiB.
Result<void> task_table(const TaskSource& tasks, const TextStyle& style,
                        const std::function<Result<void>(std::string_view lines)>& write);
std::string task_forest(const TaskSource& tasks, const TextStyle& style);
std::string whole_task(const ListedTask& listed, const TextStyle& style);
// How many there are and what is missing.
std::string text_of(const TaskListEnd& end, const TextStyle& style);

}  // namespace loopwatch
