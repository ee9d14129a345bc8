// SPDX-License-Identifier: Apache-2.0
//
// Tasks of a target, as records tell of them.
#pragma once

#include <cstdint>

#include <lw_event.h>

#include "analysis/finding.hpp"
#include "target/loops.hpp"
#include "target/memory.hpp"
#include "target/tasks.hpp"

namespace loopwatch {

// A struct lw_task as read_task of bpf/lw_target.bpf.h sees it, from here. id 0: unreadable.
lw_task_view view_task(std::uint64_t address, const Memory& memory);

const char* task_state_name(TaskState state);
const char* awaited_kind_name(AwaitedKind kind);
Location location_info(std::uint64_t address, Loops& loops);
// `resume` is the await at which its dispatch began.
TaskInfo task_info(const lw_task_view& view, std::uint64_t resume, Loops& loops);
TaskInfo task_info(const TaskView& view, Loops& loops);

}  // namespace loopwatch
