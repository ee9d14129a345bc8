// SPDX-License-Identifier: Apache-2.0
//
// The command line as data. Nothing here looks at the system.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/gate.hpp"
#include "output/gate_report.hpp"
#include "util/result.hpp"

namespace loopwatch {

enum class Command { watch, run, doctor, schema, ps, tree, where };
enum class TaskOrder { id, age, busy, resumes };
enum class Format { automatic, text, ndjson, chrome };
// How probes are attached; `automatic`: the best that this kernel offers. The others are forced by a hidden option, for
// tests.
enum class AttachMode { automatic, multi, perf_all, perf_pid, none };

struct Options {
    Command command = Command::watch;
    std::vector<pid_t> pids;                // watch: these or `name`, never both; doctor: may be empty
    std::vector<std::string> command_line;  // run: the program and its arguments
    std::uint64_t task = 0;                 // where: its id
    TaskOrder order = TaskOrder::id;        // ps
    bool lint = false;                      // ps: a second look after an interval, and what both show
    std::string task_name;                  // where: as it was given before the number; empty: any
    std::uint64_t max_frame = 16'384;       // lint: bytes that a coroutine frame may have, as clippy's large_futures
    bool repeat = false;                    // ps, tree: again each interval
    std::string state;                      // ps, tree: only tasks in it; empty: all
    bool inside = false;                    // run: without the kernel side, whoever we are
    std::string name;   // exact name of a thread group's main thread, or the file name of its program
    bool wait = false;  // watch: until there is one of it
    std::uint64_t threshold_ns = 100'000'000;
    std::uint64_t block_threshold_ns = 10'000'000;
    std::optional<std::uint64_t> duration_ns;  // empty: until the target ends or a signal comes
    Format format = Format::automatic;
    std::string output = "-";  // a file, or - for stdout
    bool trace = false;
    bool debug = false;
    bool coroutines = false;
    double max_overhead_percent = 2;
    std::uint64_t interval_ns = 1'000'000'000;
    std::vector<pid_t> tids;  // empty: all loops
    bool follow_children = false;
    bool kernel_stacks = false;
    std::vector<FailOn> fail_on;
    std::string suppressions, baseline, write_baseline;  // files; empty: none
    std::vector<ReportWish> reports;
    bool quiet = false;
    bool no_color = false;
    std::uint32_t max_loops = 64;
    AttachMode attach = AttachMode::automatic;
};

struct CommandLine {
    Options options;
    // Help or version: to be printed on stdout instead of anything else, exit code 0.
    std::optional<std::string> text;
};

// Fails with ExitCode::usage; `what` names the option and what is wrong with it, `hint` what to write.
Result<CommandLine> parse_command_line(int argc, const char* const* argv);

}  // namespace loopwatch
