// SPDX-License-Identifier: Apache-2.0
//
// Tasks of a target, as records tell of them.
#pragma once

#include <cstdint>

#include "analysis/finding.hpp"
#include "collect/observation.hpp"
#include "target/loops.hpp"
#include "target/tasks.hpp"

namespace loopwatch {

const char* task_state_name(TaskState state);
const char* awaited_kind_name(AwaitedKind kind);
Location location_info(std::uint64_t address, Loops& loops);
// `resume` is the await at which its dispatch began.
TaskInfo task_info(const TaskSnapshot& task, std::uint64_t resume, Loops& loops);
TaskInfo task_info(const TaskView& view, Loops& loops);

}  // namespace loopwatch
