// SPDX-License-Identifier: Apache-2.0
//
// Strangers: processes that are not watched, but ended a block of one that is: the worker is shown their code, so that
// the stack of the waker has names. The last few are kept.
#pragma once

#include <cstdint>
#include <deque>

#include "stack/symbol_worker.hpp"
#include "target/process.hpp"

namespace loopwatch {

class Strangers {
public:
    static constexpr std::size_t max_kept = 8;

    // Can the worker unwind stacks of this process? `watched`: the target, which it knows already.
    bool known(std::uint32_t pid, std::uint32_t watched, SymbolWorker& worker);

private:
    std::deque<Process> kept_;
};

}  // namespace loopwatch
