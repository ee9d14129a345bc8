// SPDX-License-Identifier: Apache-2.0
//
// Selection: which processes of the machine are watched, and how, where neither pids nor a name are given: by rules.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "collect/thresholds.hpp"

namespace loopwatch {

// How one that is watched is watched.
struct TargetChoice {
    Thresholds thresholds;
    bool coroutines = false;
};

class Selection {
public:
    virtual ~Selection() = default;
    // Reads what it needs to know of the process, which may take a while: called on threads beside the engine's, of
    // which several may run. No value: not a target, or gone.
    virtual std::optional<TargetChoice> choose(pid_t pid) const = 0;
    // One that was chosen is about to be attached to: on the engine's thread.
    virtual void admitted(pid_t) const {}
    // How long a process has to live, or a program that it executes, before it is looked at. In ns.
    virtual std::uint64_t min_age_ns() const = 0;
};

}  // namespace loopwatch
