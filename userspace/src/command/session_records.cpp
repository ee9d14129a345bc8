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

#include "detect/target_records.hpp"
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

}  // namespace

SessionStart session_start(const SessionOptions& options, const std::vector<std::string>& warnings,
                           const Targets& targets)
{
    SessionStart start;
    start.at_ns = monotonic_ns();
    start.version = LOOPWATCH_VERSION;
    utsname name = {};
    if (::uname(&name) == 0) start.kernel = name.release;
    start.threshold_ns = options.thresholds.slow_ns;
    start.block_threshold_ns = options.thresholds.block_ns;
    start.limits = {
        {"max_loops", options.max_loops}, {"stack_bytes", RawStack::max_bytes}, {"stacks_per_second", 2000}};
    start.warnings = warnings;
    std::set<std::string> probes;
    std::set<int> tiers;
    for (const auto& [pid, target] : targets) {
        probes.insert(target->probes().begin(), target->probes().end());
        for (const int tier : target->tiers()) tiers.insert(tier);
        for (const auto& warning : target->warnings())
            start.warnings.push_back(fmt::format("pid {}: {}", pid, warning));
        start.limits["floor_ns"] = std::max(start.limits["floor_ns"], floor_of(*target));
    }
    start.probes.assign(probes.begin(), probes.end());
    start.tiers.assign(tiers.begin(), tiers.end());
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

Overhead own_overhead(Overhead overhead, pid_t worker)
{
    rusage usage = {};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto nanoseconds = [](const timeval& time) {
        return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
               static_cast<std::uint64_t>(time.tv_usec) * 1000;
    };
    overhead.collector_cpu_ns = nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime);
    overhead.max_rss_bytes = peak_rss_bytes(::getpid());
    overhead.worker_max_rss_bytes = peak_rss_bytes(worker);
    return overhead;
}

}  // namespace loopwatch
