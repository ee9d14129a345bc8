// SPDX-License-Identifier: Apache-2.0
#include "attach/handover_watch.hpp"

#include <sys/syscall.h>

#include <utility>

#include "target/sleeper.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_threads = 64;            // looked at: each costs two reads in /proc
constexpr std::uint64_t least_polls = 20;          // in an interval
constexpr std::uint64_t most_ns_a_poll = 200'000;  // several events, each with a lock and a wake of 3 to 5 us
constexpr std::uint64_t most_apart = 4;            // events that come together are handed over one by one, or at once
constexpr int least_intervals = 2;

bool parks(const Process& process, std::uint32_t tid)
{
    const auto now = sleeper(process.pid(), tid);
    return now && now->syscall == SYS_futex;
}

}  // namespace

std::optional<std::uint32_t> HandoverWatch::look(const Process& process, const std::set<std::uint32_t>& loops)
{
    if (reported_ || loops.size() != 1) return std::nullopt;
    const auto threads = process.threads();
    if (threads.size() > max_threads) return std::nullopt;
    const auto before = std::exchange(seen_, {});
    const auto runs_of = [&](std::uint32_t tid) {
        auto& seen = seen_[tid];
        if (const auto known = before.find(tid); known != before.end()) seen = known->second;
        const auto runs = process.runs(static_cast<pid_t>(tid)), last = std::exchange(seen.runs, runs);
        if (last.count == 0 || runs.count < last.count || runs.ran_ns < last.ran_ns) return ThreadRuns{};
        return ThreadRuns{runs.ran_ns - last.ran_ns, runs.count - last.count};
    };
    const auto poller = runs_of(*loops.begin());
    const bool only_polls = poller.count >= least_polls && poller.ran_ns <= poller.count * most_ns_a_poll;
    for (const auto thread : threads) {
        const auto tid = static_cast<std::uint32_t>(thread);
        if (loops.contains(tid)) continue;
        const auto runs = runs_of(tid);
        const bool keeps_pace = runs.count <= poller.count * most_apart && poller.count <= runs.count * most_apart;
        if (!only_polls || !keeps_pace || 2 * runs.ran_ns < poller.ran_ns || !parks(process, tid)) continue;
        if (++seen_[tid].intervals < least_intervals) continue;
        reported_ = true;
        return tid;
    }
    return std::nullopt;
}

}  // namespace loopwatch
