// SPDX-License-Identifier: Apache-2.0
//
// Trace and misuse probes as records: which type a probe is reported as, and what its arguments mean.
#pragma once

#include <functional>
#include <optional>

#include "analysis/finding.hpp"
#include "collect/observation.hpp"
#include "resolve/watched_process.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

// nullopt for a probe that is not one of these.
std::optional<TaskEvent> task_event(const StepEvent& event, WatchedProcess& target);

// Hands the misuse to `done` once its exception's type has its name, and the stack that came with it, if one did, has
// too. `thrown`: what its thread told last, null: nothing.
void complete(TaskEvent event, const StepEvent& step, const ThrownEvent* thrown, SymbolWorker& worker,
              std::function<void(TaskEvent)> done);

}  // namespace loopwatch
