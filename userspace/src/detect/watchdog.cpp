// SPDX-License-Identifier: Apache-2.0
#include "detect/watchdog.hpp"

#include <algorithm>

namespace loopwatch {

void Watchdog::tick(const Targets& targets, std::uint64_t now_ns)
{
    rest_ns_ = most_rest_ns;
    for (const auto& [pid, target] : targets) rest_ns_ = std::min(rest_ns_, rest_of(*target));
    due_ns_ = report_due_ns_ = now_ns + rest_ns_;
    const auto found = look(targets, now_ns);
    next_ns_ = std::min(std::max(due_ns_, now_ns + tick_ns), std::max(report_due_ns_, now_ns + least_tick_ns));
    idle_ticks_ = found == Activity::busy ? 0 : idle_ticks_ + 1;
    if (found == Activity::busy || (found == Activity::still && idle_ticks_ < 2)) return;
    // The flag first, then a last look: a loop that wakes in between either shows in the slot or clears the flag.
    if (!source_.set_watchdog_asleep(true)) return;
    if (look(targets, now_ns) == Activity::busy) {
        (void)source_.set_watchdog_asleep(false);
        idle_ticks_ = 0;
    } else {
        next_ns_ = 0;
    }
}

// Most that wake rest again at once: a timer, ten times a second, of a server without work.
void Watchdog::wake(std::uint64_t now_ns)
{
    idle_ticks_ = 0;
    if (!next_ns_) next_ns_ = now_ns + rest_ns_;
}

void Watchdog::added(const Target& target, std::uint64_t now_ns)
{
    rest_ns_ = std::min(rest_ns_, rest_of(target));
    wake(now_ns);
    next_ns_ = std::min(next_ns_, now_ns + rest_ns_);
}

Watchdog::Activity Watchdog::look(const Targets& targets, std::uint64_t now_ns)
{
    auto most = Activity::asleep;
    for (const auto& [pid, target] : targets) most = std::max(most, look(*target, now_ns));
    return most;
}

// The busiest of the target's loops. One without a slot of its own is known to sleep; one with a slot may be between
// two dispatches, and go on without a context switch. One that slept only between many dispatches will be back before
// it is worth a wake, which costs as much as a tick. Where seq has not changed, and tells of no dispatch, there is
// nothing more to read.
Watchdog::Activity Watchdog::look(Target& target, std::uint64_t now_ns)
{
    const auto threshold_ns = target.thresholds().slow_ns, overdue_ns = threshold_ns / 2;
    // At least 1 ms; of one that goes on, as far apart as the samples that are kept: those to come stand for as much,
    // so that a burn of a minute costs as many as it can use.
    const auto period_ns = [least_ns = std::clamp<std::uint64_t>(threshold_ns / 50, 1'000'000, 10'000'000)](
                               std::uint64_t distance_ns) { return std::max(least_ns, distance_ns); };
    auto most = Activity::asleep;
    for (auto& loop : target.known_loops()) {
        const auto seq = target.seq(loop);
        if (!seq || loop.tid == 0) continue;
        auto& stall = loop.stall;
        const bool changed = stall.seq != *seq, runs = *seq & 1, many = *seq - stall.seq > 2;
        if (changed) {
            over(target, loop);
            stall.seq = *seq;
            stall.since_ns = now_ns;
            stall.next_report_ns = threshold_ns;
            stall.records_lost = target.records_lost();
        }
        if (runs || many)
            most = Activity::busy;
        else if (!target.sleeps(loop))
            most = std::max(most, changed ? Activity::busy : Activity::still);
        if (!runs && !changed) {
            stall.sampling.reset();
            continue;
        }
        LoopState slot = {};
        const bool current = target.read(loop, slot) && slot.seq == *seq;
        const auto start_ns = current && slot.start ? moment_ns(slot, slot.start) : stall.since_ns;
        const auto age_ns = runs && now_ns > start_ns ? now_ns - start_ns : 0;
        const auto iteration_ns = current && slot.iteration_start ? moment_ns(slot, slot.iteration_start) : now_ns;
        const auto began_ns = std::min(runs ? start_ns : now_ns, iteration_ns);
        due_ns_ = std::min(due_ns_, began_ns + (began_ns + rest_ns_ > now_ns ? rest_ns_ : overdue_ns));
        if (age_ns >= overdue_ns) {
            sample(stall, loop.tid, period_ns(book_.sample_distance_of(loop.tid, stall.seq)));
        } else if (now_ns > iteration_ns && now_ns - iteration_ns >= overdue_ns) {
            sample(stall, loop.tid, period_ns(book_.sample_distance_since(loop.tid, iteration_ns)));
            old_iterations_.emplace_back(target.pid(), loop.tid);
        } else {
            stall.sampling.reset();
        }
        if (!current) continue;
        const bool is_overdue = age_ns >= stall.next_report_ns;
        while (age_ns >= stall.next_report_ns) stall.next_report_ns *= 2;
        if (runs) report_due_ns_ = std::min(report_due_ns_, start_ns + stall.next_report_ns);
        if (!is_overdue) continue;
        overdue_.push_back({target.pid(), loop.tid, loop.id, start_ns, now_ns, target.saw_begin(loop, slot), loop.slot,
                            slot, target.coroutine(loop, *seq), target.records_lost() != stall.records_lost});
    }
    return most;
}

void Watchdog::over(const Target& target, const Loop& loop)
{
    if (loop.stall.next_report_ns <= target.thresholds().slow_ns) return;
    EventHead of;
    of.pid = target.pid();
    of.tid = loop.tid;
    of.loop_id = loop.id;
    of.seq = loop.stall.seq;
    over_.push_back(of);
}

void Watchdog::note_end(const Target& target, const Loop& loop)
{
    const auto seq = target.seq(loop);
    if (seq && *seq != loop.stall.seq) over(target, loop);
}

void Watchdog::sample(StallWatch& stall, std::uint32_t tid, std::uint64_t period_ns)
{
    if (stall.sampling && stall.sampling->failed()) {
        ++failures_;
        stall.sampling.reset();
    }
    if (stall.sampling && stall.period_ns == period_ns) return;
    // Another event: after PERF_EVENT_IOC_PERIOD the samples of a cpu-clock event still have the period it was opened
    // with.
    stall.sampling.reset();
    stall.sampling = source_.sample(tid, period_ns);
    stall.period_ns = period_ns;
}

}  // namespace loopwatch
