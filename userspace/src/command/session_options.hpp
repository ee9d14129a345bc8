// SPDX-License-Identifier: Apache-2.0
//
// What a session is to do: the option groups of its command, and what the command itself adds.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attach/selection.hpp"
#include "command/ending_signals.hpp"
#include "command/option_groups.hpp"
#include "report/gate_files.hpp"

namespace loopwatch {

struct SessionOptions : ScopeOptions, DetectionOptions, TimingOptions {
    GateOptions gate;
    std::vector<pid_t> pids;
    std::string name;                            // those that begin with this name are watched too; empty: none
    bool wait = false;                           // there may be none of it yet
    std::shared_ptr<const Selection> selection;  // processes of the machine that are watched too; null: none
    std::optional<Thresholds> least;             // that any target may have, sooner or later; else `thresholds`
    bool from_start = false;  // targets have not begun to run: that they have no loop yet says nothing

    // Of a program that we have started. Its name, if it is known only by that.
    std::string program;
    // As of wait(2); nothing: it is another one, or has not ended.
    std::function<std::optional<int>(std::uint32_t)> wait_status = [](std::uint32_t) { return std::optional<int>(); };
    // What SIGHUP does, instead of ending the session.
    std::function<void()> on_hangup = {};
    // What else is to be done, after each turn and when it says that it is due next (0: never by itself).
    std::function<std::uint64_t(std::uint64_t now_ns)> housekeeping = {};
    // Signals that end nothing are passed on, too.
    bool takes_all_signals = false;
    std::function<void(int)> hand_on = [](int) {};
    // By a signal (null: the time is up) it is asked to end. False: the session ends without it.
    std::function<bool(const EndingSignals::Signal*)> end_program = [](const EndingSignals::Signal*) { return false; };
};

}  // namespace loopwatch
