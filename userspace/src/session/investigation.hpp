// SPDX-License-Identifier: Apache-2.0
//
// From what the kernel side sent about a dispatch to DispatchFacts: stacks unwound, descriptors looked up, addresses
// turned into text. The stacks are asked for at once and come later; `done` runs when all are there.
#pragma once

#include <functional>

#include "analysis/facts.hpp"
#include "collect/dispatch_book.hpp"
#include "collect/kernel_symbols.hpp"
#include "session/strangers.hpp"
#include "session/watched_process.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

const char* task_state_name(std::uint32_t state);
TaskInfo task_info(const lw_task_view& view, std::uint64_t resume, Loops& loops);
Location location_info(std::uint64_t address, Loops& loops);

void investigate(DispatchBundle bundle, WatchedProcess& target, SymbolWorker& worker, KernelSymbols& kernel_symbols,
                 Strangers& strangers, std::function<void(DispatchFacts)> done);

}  // namespace loopwatch
