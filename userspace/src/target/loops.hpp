// SPDX-License-Identifier: Apache-2.0
//
// Loops: what the loops of a target publish (loop_state.h), read from outside: which loops there are, their counters,
// and the text behind the addresses that events carry. Tolerates torn and hostile values: every list is bounded, every
// pointer may be wild.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "target/loop_state.hpp"
#include "target/memory.hpp"
#include "target/process.hpp"

namespace loopwatch {

// One loop as its slot tells.
struct LoopView {
    std::uint64_t slot = 0;  // address
    std::uint64_t id = 0;
    std::uint32_t ns_tid = 0;
    std::uint32_t tid = 0;  // in our PID namespace; 0: no such thread
    std::string name;
    std::uint64_t since_ns = 0;  // found during the session: its counters begin then; 0: earlier, or not known
};

// A source location of the target.
struct TargetLocation {
    std::string function, file;
    std::uint32_t line = 0;
};

class Loops {
public:
    explicit Loops(const Process& process) : process_(process), memory_(process.pid()) {}

    // All loops of a registry (address of struct lw_registry), by the addresses of their slots. Those of another
    // version of loop_state.h cannot be read: `other_version` says which one, and what to do about it.
    std::vector<std::pair<std::uint64_t, LoopState>> list(std::uint64_t registry, std::string& other_version) const;
    // The slot at this address, if it is one of ours in a version we know; re-read while torn (at most 4 times).
    bool read(std::uint64_t slot, LoopState& to) const;
    // `tid`: of the loop's thread in our PID namespace; 0: not known.
    LoopView view(std::uint64_t address, const LoopState& state, std::uint32_t tid) const;
    // Resolved once per address: locations are constants of the target.
    const TargetLocation& location(std::uint64_t address);
    // As read by somebody else, who may have been earlier than the target's end. `function` as the compiler spells it.
    void remember(std::uint64_t address, const std::string& function, std::string file, std::uint32_t line);
    const Memory& memory() const { return memory_; }

private:
    bool read_slot(std::uint64_t address, lw_loop_slot& slot) const;

    const Process& process_;
    Memory memory_;
    std::unordered_map<std::uint64_t, TargetLocation> locations_;
};

}  // namespace loopwatch
