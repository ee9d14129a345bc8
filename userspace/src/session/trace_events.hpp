// SPDX-License-Identifier: Apache-2.0
//
// Trace and misuse probes as records: which type a probe is reported as, and what its arguments mean.
#pragma once

#include <optional>
#include <vector>

#include "analysis/finding.hpp"
#include "collect/event.hpp"
#include "session/attachment.hpp"

namespace loopwatch {

// nullopt for a probe that is not one of these.
std::optional<TaskEvent> task_event(const StepEvent& event, Attachment& attachment);

// Where the exception that it tells of was thrown, or what it tells of opened.
void set_stack(TaskEvent& record, std::vector<Frame> stack);

}  // namespace loopwatch
