// SPDX-License-Identifier: Apache-2.0
//
// From what the kernel side sent about a dispatch to DispatchFacts: stacks unwound, descriptors looked up, addresses
// turned into text. The stacks are asked for at once and come later; `done` runs when all are there. What waits for
// them takes a bounded number of bytes: beyond, a finding has no names.
#pragma once

#include <functional>

#include "analysis/facts.hpp"
#include "collect/dispatch_book.hpp"
#include "collect/kernel_symbols.hpp"
#include "resolve/earlier_descriptors.hpp"
#include "resolve/strangers.hpp"
#include "resolve/watched_process.hpp"
#include "stack/symbol_worker.hpp"
#include "util/byte_budget.hpp"

namespace loopwatch {

// What the investigations of a session share.
struct Investigations {
    static constexpr std::size_t max_bytes = 64u << 20, assured_bytes = 4u << 20;  // of facts that wait for names

    Strangers strangers;
    EarlierDescriptors descriptors;
    ByteBudget waiting{max_bytes, assured_bytes};
    std::uint64_t unnamed = 0;  // stacks, or all those of a finding, that there was no room for
};

void investigate(DispatchBundle bundle, WatchedProcess& target, SymbolWorker& worker, KernelSymbols& kernel_symbols,
                 Investigations& all, std::function<void(DispatchFacts)> done);

}  // namespace loopwatch
