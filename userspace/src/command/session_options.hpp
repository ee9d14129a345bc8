// SPDX-License-Identifier: Apache-2.0
//
// What a session is to do: the command line with its names and words resolved.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "collect/attach.hpp"
#include "command/cli.hpp"
#include "output/sink.hpp"
#include "report/gate_files.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct SessionOptions {
    std::vector<pid_t> pids;
    std::string name;              // those that begin with this name are watched too; empty: none
    bool wait = false;             // there may be none of it yet
    std::set<std::uint32_t> tids;  // empty: all threads
    std::uint64_t threshold_ns = 100'000'000;
    std::uint64_t block_threshold_ns = 10'000'000;
    std::uint64_t duration_ns = 0;  // 0: until interrupted
    std::uint64_t interval_ns = 1'000'000'000;
    bool trace = false;
    bool debug = false;
    bool coroutines = false;
    bool follow_children = false;      // those that live by now too
    std::function<void(int)> hand_on;  // signals that end nothing; empty: they are left alone
    // As of wait(2), of a program that we have started; nothing: it is another one, or has not ended.
    std::function<std::optional<int>(std::uint32_t)> wait_status = [](std::uint32_t) { return std::optional<int>(); };
    bool from_start = false;  // targets have not begun to run: that they have no loop yet says nothing
    bool kernel_stacks = false;
    double max_overhead_percent = 2;
    std::uint32_t max_loops = 64;
    std::optional<AttachRung> rung;  // forced; else the best this kernel offers
    GateOptions gate;
};

// Those of --pid or --name; of `run` there are none yet. Fails with no_such_target if no process has the name.
Result<std::vector<pid_t>> chosen_pids(const Options& options);
// What a command line asks for: names become pids, "auto" the best attach rung. Fails as chosen_pids does.
Result<SessionOptions> session_options_of(const Options& options);
// And in what form. `output` outlives the sink.
std::unique_ptr<Sink> sink_of(const Options& options, Output& output);

}  // namespace loopwatch
