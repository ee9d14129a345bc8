// SPDX-License-Identifier: Apache-2.0
//
// Options that several commands share, each with its default. A command lists the groups it takes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "collect/attach.hpp"
#include "collect/thresholds.hpp"
#include "command/option_parser.hpp"
#include "report/gate_files.hpp"
#include "report/hub.hpp"
#include "util/result.hpp"

namespace loopwatch {

// Which processes: those of --pid or of --name, never both.
struct ProcessOptions {
    std::vector<pid_t> pids;
    std::string name;  // exact name of a thread group's main thread, or the file name of its program; empty: none

    // `usage`: what to write where none is given; null: there may be none.
    void add(OptionParser& parser, const char* usage);
    // Fails with no_such_target if no process has the name.
    Result<std::vector<pid_t>> find() const;
};

// And which of their loops and children.
struct ScopeOptions {
    std::set<std::uint32_t> tids;  // empty: all threads
    bool follow_children = false;  // those that live by now too

    void add(OptionParser& parser);
};

// What is reported, and what that may cost.
struct DetectionOptions {
    Thresholds thresholds;
    bool trace = false;
    bool debug = false;
    bool coroutines = false;
    bool kernel_stacks = false;
    double max_overhead_percent = 2;
    std::uint32_t max_loops = 64;
    std::optional<AttachRung> rung;  // forced by a hidden option, for tests; else the best that this kernel offers

    void add(OptionParser& parser);
    // Is there one that eBPF alone can answer?
    bool need_kernel_side() const noexcept { return trace || debug || coroutines || kernel_stacks; }
};

struct TimingOptions {
    std::uint64_t duration_ns = 0;  // 0: until the target ends or a signal comes
    std::uint64_t interval_ns = 1'000'000'000;

    void add(OptionParser& parser);
};

struct OutputFile {
    std::string path;      // or - for stdout
    bool required = true;  // else the session goes on without it when it fails

    bool operator==(const OutputFile&) const = default;
};

// Where the records of a session go: any number of outputs, the first -o with the first --format and so on.
struct OutputOptions {
    std::vector<OutputFile> files;
    std::vector<std::string> formats;  // as many, or none; "auto" or one of output/formats.hpp
    bool quiet = false;
    bool interned = false;
    bool no_color = false;
    // Where no -o is given.
    std::string default_file = "-";
    std::string default_format = "auto";

    void add(OptionParser& parser);
    // Opens all of them; fails if one cannot be opened, optional or not. `gated`: --fail-on decides over what is
    // reported.
    Result<Hub> open(bool gated) const;
};

// Where a list goes: no trace, and nothing to be quiet about.
struct ListOutputOptions {
    bool ndjson = false;     // else text
    std::string file = "-";  // or - for stdout
    bool no_color = false;

    void add(OptionParser& parser);
};

void add_gate_options(OptionParser& parser, GateOptions& gate);

// --interval, which ps and tree take too.
void add_interval(OptionParser& parser, std::uint64_t& interval_ns, const char* help);

}  // namespace loopwatch
