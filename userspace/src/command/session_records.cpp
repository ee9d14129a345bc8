// SPDX-License-Identifier: Apache-2.0
#include "command/session_records.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <set>
#include <utility>

#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

std::uint64_t peak_rss_bytes(pid_t pid)
{
    const auto status = read_proc(pid, "status", 8192).value_or("");
    const auto line = status.find("VmHWM:");
    std::uint64_t kib = 0;
    if (line != std::string::npos) std::sscanf(status.c_str() + line + 6, "%" SCNu64, &kib);
    return kib * 1024;
}

// The highest floor of the loops: no dispatch below it is reported.
std::uint64_t floor_of(WatchedProcess& target)
{
    std::uint64_t floor = 0;
    for (const auto& loop : target.known_loops()) {
        LoopState slot;
        if (target.read(loop, slot)) floor = std::max<std::uint64_t>(floor, slot.floor_ns);
    }
    return floor;
}

}  // namespace

SessionStart session_start(const SessionOptions& options, const std::vector<std::string>& warnings,
                           const std::vector<WatchedProcess*>& targets)
{
    SessionStart start;
    start.at_ns = monotonic_ns();
    start.version = LOOPWATCH_VERSION;
    utsname name = {};
    if (::uname(&name) == 0) start.kernel = name.release;
    start.threshold_ns = options.threshold_ns;
    start.block_threshold_ns = options.block_threshold_ns;
    start.limits = {
        {"max_loops", options.max_loops}, {"stack_bytes", RawStack::max_bytes}, {"stacks_per_second", 2000}};
    start.warnings = warnings;
    std::set<std::string> probes;
    std::set<int> tiers;
    for (auto* const target : targets) {
        probes.insert(target->probes().begin(), target->probes().end());
        for (const int tier : target->tiers()) tiers.insert(tier);
        for (const auto& warning : target->warnings())
            start.warnings.push_back(fmt::format("pid {}: {}", target->pid(), warning));
        start.limits["floor_ns"] = std::max(start.limits["floor_ns"], floor_of(*target));
    }
    start.probes.assign(probes.begin(), probes.end());
    start.tiers.assign(tiers.begin(), tiers.end());
    return start;
}

TargetStart target_start(WatchedProcess& target)
{
    TargetStart start;
    start.subject = target.whole();
    start.at_ns = monotonic_ns();
    start.exe = target.process().exe();
    start.cmdline = target.process().cmdline();
    start.build_id = target.build_id();
    start.tiers = target.tiers();
    for (const auto& loop : target.known_loops()) start.loops.push_back({std::to_string(loop.id), loop.name});
    start.warnings = target.warnings();
    for (const auto& warning : start.warnings) {
        start.name_warnings += target.about(warning) == WarningAbout::names;
        start.cost_warnings += target.about(warning) == WarningAbout::cost;
    }
    (void)target.take_new_warnings();
    return start;
}

SessionEnd session_end(const Reporter& reporter, const Statistics& statistics, Counts lost, std::uint64_t started_ns,
                       bool saw_loop)
{
    SessionEnd end;
    end.at_ns = monotonic_ns();
    end.duration_ns = end.at_ns - started_ns;
    end.counts = reporter.counts();
    end.coverage = reporter.coverage();
    end.lost = std::move(lost);
    end.dispatches = statistics.dispatches();
    end.dispatch_ns = statistics.dispatch_ns();
    end.warnings = reporter.warnings();
    end.saw_loop = saw_loop;
    return end;
}

Overhead own_overhead(const Kernel::Cost& cost, pid_t worker)
{
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto nanoseconds = [](const timeval& time) {
        return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
               static_cast<std::uint64_t>(time.tv_usec) * 1000;
    };
    Overhead overhead;
    overhead.bpf_runs = cost.runs;
    overhead.bpf_ns = cost.ns;
    overhead.collector_cpu_ns = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    overhead.max_rss_bytes = peak_rss_bytes(::getpid());
    overhead.worker_max_rss_bytes = peak_rss_bytes(worker);
    overhead.map_bytes = cost.map_bytes;
    return overhead;
}

}  // namespace loopwatch
