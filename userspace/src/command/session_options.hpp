// SPDX-License-Identifier: Apache-2.0
//
// What a session is to do: the option groups of its command, and what the command itself adds.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "command/option_groups.hpp"
#include "report/gate_files.hpp"

namespace loopwatch {

struct SessionOptions : ScopeOptions, DetectionOptions, TimingOptions {
    GateOptions gate;
    std::vector<pid_t> pids;
    std::string name;                  // those that begin with this name are watched too; empty: none
    bool wait = false;                 // there may be none of it yet
    std::function<void(int)> hand_on;  // signals that end nothing; empty: they are left alone
    // As of wait(2), of a program that we have started; nothing: it is another one, or has not ended.
    std::function<std::optional<int>(std::uint32_t)> wait_status = [](std::uint32_t) { return std::optional<int>(); };
    bool from_start = false;  // targets have not begun to run: that they have no loop yet says nothing
};

}  // namespace loopwatch
