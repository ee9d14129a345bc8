// SPDX-License-Identifier: Apache-2.0
#include "command/kernel_session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/calls.hpp"
#include "detect/target_records.hpp"
#include "util/duration.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

KernelOptions kernel_options(const SessionOptions& options)
{
    KernelOptions of_kernel;
    of_kernel.least = options.least.value_or(options.thresholds);
    of_kernel.all_execs = options.selection != nullptr;
    of_kernel.max_loops = options.max_loops;
    of_kernel.kernel_stacks = options.kernel_stacks;
    of_kernel.path_argument = [](std::size_t syscall) {
        return static_cast<std::uint8_t>(path_argument(static_cast<std::int64_t>(syscall)) + 1);
    };
    of_kernel.follow_children = options.follow_children;
    of_kernel.report_children = options.takes_all_signals;
    of_kernel.name = options.name;
    of_kernel.trace = options.trace;
    of_kernel.debug = options.debug;
    of_kernel.coroutines = options.coroutines;
    of_kernel.rung = options.rung.value_or(best_rung());
    return of_kernel;
}

KernelSourceOptions source_options(const SessionOptions& options)
{
    KernelSourceOptions of_source;
    of_source.pids = options.pids;
    of_source.name = options.name;
    of_source.wait = options.wait;
    of_source.selection = options.selection;
    of_source.follow_children = options.follow_children;
    of_source.from_start = options.from_start;
    of_source.max_overhead_percent = options.max_overhead_percent;
    of_source.attachment = {{options.trace, options.coroutines, options.debug}, options.debug, options.thresholds};
    return of_source;
}

Result<void> check_threads(const std::set<std::uint32_t>& tids, Engine& engine)
{
    for (const auto tid : tids) {
        const auto has = [&](const auto& target) {
            return std::ranges::count(target.second->process().threads(), static_cast<pid_t>(tid)) != 0;
        };
        if (std::ranges::none_of(engine.targets(), has))
            return Error{ExitCode::no_such_target, fmt::format("no watched process has a thread {}", tid),
                         "list its threads with: ps -T -p PID"};
        const auto runs_loop = [&](const auto& target) { return target.second->loop_of(tid) != nullptr; };
        if (std::ranges::none_of(engine.targets(), runs_loop))
            engine.warn(fmt::format("thread {} runs no loop: nothing is reported of it unless it begins to", tid));
    }
    return {};
}

// The runtime reports no dispatch below its floor, so a threshold below it would promise what cannot be seen.
Result<void> check_floor(Engine& engine)
{
    for (const auto& [pid, target] : engine.targets()) {
        const auto floor_ns = floor_of(*target), threshold_ns = target->thresholds().slow_ns;
        if (floor_ns <= threshold_ns) continue;
        auto below = fmt::format("threshold {} is below the floor of process {} ({})", format_duration(threshold_ns),
                                 pid, format_duration(floor_ns));
        if (engine.targets().size() == 1)
            return Error{ExitCode::usage, std::move(below),
                         fmt::format("start the program with LOOPWATCH_FLOOR={}us, or let it call Loop::set_floor",
                                     std::max<std::uint64_t>(1, threshold_ns / 1000))};
        engine.warn(below + ": its shorter dispatches are not seen");
    }
    return {};
}

}  // namespace

Result<KernelSession> KernelSession::open(SessionOptions options, Hub& hub)
{
    auto session = Session::open(std::move(options), hub);
    if (!session) return session.error();
    const auto& wanted = (*session)->options();
    auto& engine = (*session)->engine();
    auto of_source = source_options(wanted);
    of_source.asked_to_end = [&session = **session] { return session.was_asked_to_end(); };
    auto source = KernelSource::open(std::move(of_source), kernel_options(wanted), engine, (*session)->worker());
    if (!source) return source.error();
    if (wanted.kernel_stacks) (*session)->kernel_symbols().load_all();
    if (auto attached = (*source)->attach(); !attached) return attached.error();
    if (auto threads = check_threads(wanted.tids, engine); !threads) return threads.error();
    if (auto floor = check_floor(engine); !floor) return floor.error();
    return KernelSession{std::move(*session), std::move(*source)};
}

void KernelSession::begin(CoreWork rest)
{
    session->begin(*source);
    source->go_live(monotonic_ns());
    session->drop_privileges(rest);
}

}  // namespace loopwatch
