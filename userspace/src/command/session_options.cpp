// SPDX-License-Identifier: Apache-2.0
#include "command/session_options.hpp"

#include <fmt/format.h>

#include "output/chrome_sink.hpp"
#include "output/ndjson_sink.hpp"
#include "output/text_sink.hpp"
#include "output/text_style.hpp"
#include "target/process.hpp"

namespace loopwatch {

namespace {

std::optional<AttachRung> forced_rung(AttachMode mode)
{
    switch (mode) {
        case AttachMode::automatic: return std::nullopt;
        case AttachMode::multi: return AttachRung::multi;
        case AttachMode::perf_all: return AttachRung::perf_all;
        case AttachMode::perf_pid: return AttachRung::perf_pid;
        case AttachMode::none: break;
    }
    return AttachRung::none;
}

}  // namespace

Result<std::vector<pid_t>> chosen_pids(const Options& options)
{
    auto pids = options.name.empty() ? options.pids : Process::find(options.name);
    if (pids.empty() && options.command != Command::run && !options.wait)
        return Error{ExitCode::no_such_target, fmt::format("no process is named '{}'", options.name),
                     options.command == Command::watch ? "list processes with: ps -e; --wait waits for it"
                                                       : "list processes with: ps -e"};
    return pids;
}

Result<SessionOptions> session_options_of(const Options& options)
{
    SessionOptions wish;
    auto pids = chosen_pids(options);
    if (!pids) return pids.error();
    wish.pids = std::move(*pids);
    wish.name = options.name;
    wish.wait = options.wait;
    wish.tids.insert(options.tids.begin(), options.tids.end());
    wish.threshold_ns = options.threshold_ns;
    wish.block_threshold_ns = options.block_threshold_ns;
    wish.duration_ns = options.duration_ns.value_or(0);
    wish.interval_ns = options.interval_ns;
    wish.trace = options.trace;
    wish.debug = options.debug;
    wish.coroutines = options.coroutines;
    wish.follow_children = options.follow_children;
    wish.kernel_stacks = options.kernel_stacks;
    wish.max_overhead_percent = options.max_overhead_percent;
    wish.max_loops = options.max_loops;
    wish.rung = forced_rung(options.attach);
    wish.gate = {options.fail_on, options.suppressions, options.baseline, options.write_baseline, options.reports};
    return wish;
}

std::unique_ptr<Sink> sink_of(const Options& options, Output& output)
{
    const bool terminal = output.is_terminal();
    if (options.format == Format::chrome) return std::make_unique<ChromeSink>(output);
    if (options.format == Format::ndjson || (options.format == Format::automatic && !terminal))
        return std::make_unique<NdjsonSink>(output, JsonContext::of_this_machine());
    return std::make_unique<TextSink>(output, TextOptions{.colours = wants_colours(terminal, options.no_color),
                                                          .quiet = options.quiet,
                                                          .gated = !options.fail_on.empty()});
}

}  // namespace loopwatch
