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

void investigate(DispatchBundle bundle, WatchedProcess& target, SymbolWorker& worker, KernelSymbols& kernel_symbols,
                 Strangers& strangers, std::function<void(DispatchFacts)> done);

}  // namespace loopwatch
