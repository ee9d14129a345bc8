// SPDX-License-Identifier: Apache-2.0
#include "detect/statistics.hpp"

#include <algorithm>
#include <utility>

#include "analysis/quantiles.hpp"

namespace loopwatch {

namespace {

using Buckets = std::vector<std::uint64_t>;

StatisticsWindow begun(const LoopState& slot, std::uint64_t now_ns)
{
    StatisticsWindow window;
    window.open = true;
    window.slot = slot;
    window.step_histogram = slot.dispatch_histogram;
    window.at_ns = now_ns;
    return window;
}

// Counters wrap at 2^32: unsigned differences stay right.
Buckets difference(const LoopState::Histogram& now, const LoopState::Histogram& before)
{
    Buckets buckets(now.size());
    for (std::size_t i = 0; i < buckets.size(); ++i) buckets[i] = static_cast<std::uint32_t>(now[i] - before[i]);
    return buckets;
}

double share(std::uint64_t part, std::uint64_t whole)
{
    return whole ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

LoopStats begin_record(const Target& target, const Loop& loop, std::uint64_t now_ns)
{
    LoopStats stats;
    stats.subject = {target.pid(), loop.tid, target.ns_pid(), loop.ns_tid, target.comm()};
    stats.at_ns = now_ns;
    stats.loop = {std::to_string(loop.id), loop.name};
    stats.interval_ns = now_ns - std::min(now_ns, loop.statistics.at_ns);
    stats.probed = loop.slot != 0;
    return stats;
}

// The histogram's last bucket may reach above the longest dispatch, if that is known.
void set_longest(Quantiles& quantiles, std::uint64_t longest_ns)
{
    const auto last = quantiles.buckets.rbegin();
    if (last == quantiles.buckets.rend() || longest_ns < last->first) return;
    quantiles.max = longest_ns;
    for (auto* quantile : {&quantiles.p50, &quantiles.p90, &quantiles.p99}) *quantile = std::min(*quantile, longest_ns);
}

// A dispatch that is still running has not been added by the loop yet, and may never be.
std::uint64_t busy(StatisticsWindow& last, const LoopState& slot, std::uint64_t now_ns)
{
    auto busy_ns = ticks_to_ns(slot, slot.busy_ticks - last.slot.busy_ticks);
    const bool same = slot.seq == last.slot.seq;
    // One that began when nobody was attached has no start: it held the loop since the last look at least.
    if (same && (slot.seq & 1) && !slot.start) return now_ns - last.at_ns;
    std::uint64_t open_ns = 0;
    if ((slot.seq & 1) && slot.start) {
        const auto start_ns = moment_ns(slot, slot.start);
        open_ns = now_ns > start_ns ? now_ns - start_ns : 0;
    }
    busy_ns += open_ns;
    busy_ns -= std::min(busy_ns, last.credited_ns);
    last.credited_ns = same || open_ns ? open_ns : 0;
    return busy_ns;
}

// How long the dispatch that runs now has run, as far as is known. Its target may end in it: then no histogram has it.
std::optional<std::uint64_t> open(StatisticsWindow& last, const LoopState& slot, std::uint64_t now_ns)
{
    const auto seen_since_ns = slot.seq == last.slot.seq && last.open_since_ns ? last.open_since_ns : last.at_ns;
    last.open_since_ns = 0;
    if (!(slot.seq & 1)) return std::nullopt;
    const bool same = slot.seq == last.slot.seq;
    last.open_since_ns = slot.start ? moment_ns(slot, slot.start) : same ? seen_since_ns : now_ns;
    return now_ns - std::min(now_ns, last.open_since_ns);
}

// A wait that goes on: most loops of most servers are in one most of the time.
std::uint64_t idle(StatisticsWindow& last, const LoopState& slot, std::uint64_t now_ns)
{
    const auto since_ns = slot.poll_since ? moment_ns(slot, slot.poll_since) : 0;
    const std::uint64_t open_ns = since_ns && now_ns > since_ns ? now_ns - since_ns : 0;
    auto idle_ns = ticks_to_ns(slot, slot.idle_ticks - last.slot.idle_ticks) + open_ns;
    idle_ns -= std::min(idle_ns, last.waited_ns);
    last.waited_ns = open_ns;
    return idle_ns;
}

// One that was found during the session counts from there: what is reported of it before the first look, too.
StatisticsWindow& window_of(Loop& loop)
{
    if (!loop.statistics.open && loop.since_ns != 0) Statistics::born(loop, loop.since_ns);
    return loop.statistics;
}

// Its slot went with the memory of its process. What was reported of a dispatch that had not ended is known all the
// same.
std::optional<LoopStats> without_slot(const Target& target, Loop& loop, std::uint64_t now_ns)
{
    auto& last = window_of(loop);
    if (!last.open || last.longest_ns == 0) return std::nullopt;
    const auto longest_ns = std::exchange(last.longest_ns, 0);
    auto stats = begin_record(target, loop, now_ns);
    stats.busy_ns = std::min(longest_ns, stats.interval_ns);
    stats.utilization = share(stats.busy_ns, stats.interval_ns);
    stats.dispatch_ns.max = longest_ns;
    if (const auto stalled_ns = std::exchange(last.stalled_ns, 0)) stats.open_ns = stalled_ns;
    last.at_ns = now_ns;
    return stats;
}

}  // namespace

void Statistics::born(Loop& loop, std::uint64_t now_ns)
{
    loop.statistics = begun({}, now_ns);
}

// One that runs again goes on counting from what it had counted.
void Statistics::started(Loop& loop, std::uint64_t now_ns)
{
    const auto& last = loop.statistics;
    loop.statistics = begun(last.slot, std::max(last.at_ns, now_ns));
}

void Statistics::reported(Loop* loop, std::uint64_t duration_ns, bool ended)
{
    longest_ns_ = std::max(longest_ns_, duration_ns);
    if (!loop || !window_of(*loop).open) return;
    loop->statistics.longest_ns = std::max(loop->statistics.longest_ns, duration_ns);
    loop->statistics.step_longest_ns = std::max(loop->statistics.step_longest_ns, duration_ns);
    loop->statistics.stalled_ns = ended ? 0 : duration_ns;
}

// Of what was too short to be reported the histogram knows to a quarter how long it was.
void Statistics::step(Target& target, std::uint64_t now_ns)
{
    for (auto& loop : target.known_loops()) {
        LoopState slot;
        auto& window = window_of(loop);
        if (!window.open || !target.read(loop, slot)) continue;
        const auto ended = quantiles(difference(slot.dispatch_histogram, window.step_histogram), ns_per_tick(slot));
        const auto start_ns = slot.seq & 1 && slot.start ? moment_ns(slot, slot.start) : now_ns;
        const auto longest_of_ended = ended.buckets.empty() ? 0 : ended.buckets.rbegin()->first;
        window.strip.add(std::max(
            {std::exchange(window.step_longest_ns, 0), longest_of_ended, now_ns - std::min(now_ns, start_ns)}));
        window.step_histogram = slot.dispatch_histogram;
    }
}

std::vector<LoopStats> Statistics::look(Target& target, std::uint64_t now_ns)
{
    std::vector<LoopStats> records;
    for (auto& loop : target.known_loops()) {
        LoopState slot;
        auto stats = target.read(loop, slot) ? look(target, loop, slot, now_ns) : without_slot(target, loop, now_ns);
        if (stats) records.push_back(std::move(*stats));
    }
    return records;
}

std::optional<LoopStats> Statistics::look(const Target& target, Loop& loop, const LoopState& slot, std::uint64_t now_ns)
{
    auto& last = window_of(loop);
    const auto& before = last.slot;
    // Counters that went back are another loop's: of a program that has become another one, or of a thread with the
    // same number.
    if (!last.open || slot.seq < before.seq || slot.iterations < before.iterations) {
        last = begun(slot, now_ns);
        return std::nullopt;
    }
    auto stats = begin_record(target, loop, now_ns);
    stats.iterations = slot.iterations - before.iterations;
    stats.dispatches = loop.slot ? slot.seq / 2 - before.seq / 2 : 0;  // odd: one still runs
    stats.busy_ns = std::min(busy(last, slot, now_ns), stats.interval_ns);
    stats.idle_ns = std::min(idle(last, slot, now_ns), stats.interval_ns);
    stats.utilization = share(stats.busy_ns, stats.interval_ns);
    const auto buckets = difference(slot.dispatch_histogram, before.dispatch_histogram);
    ns_per_tick_ = ns_per_tick(slot);
    stats.dispatch_ns = quantiles(buckets, ns_per_tick_);
    // None was longer than the longest ever, whatever the last bucket has room for.
    const auto longest_ever_ns = ticks_to_ns(slot, slot.max_ticks);
    const bool is_plausible = longest_ever_ns != 0 && longest_ever_ns < stats.dispatch_ns.max;
    if (is_plausible) set_longest(stats.dispatch_ns, longest_ever_ns);
    if (is_plausible && slot.max_ticks > before.max_ticks) longest_ns_ = std::max(longest_ns_, longest_ever_ns);
    set_longest(stats.dispatch_ns, last.longest_ns);
    stats.open_ns = open(last, slot, now_ns);
    stats.dispatch_ns.max = std::max({stats.dispatch_ns.max, last.longest_ns, stats.open_ns.value_or(0)});
    longest_ns_ = std::max(longest_ns_, stats.open_ns.value_or(0));
    if (loop.slot) stats.lag_ns = quantiles(difference(slot.lag_histogram, before.lag_histogram), ns_per_tick_);
    stats.tasks_created = slot.tasks_created - before.tasks_created;
    stats.tasks_cancelled = slot.tasks_cancelled - before.tasks_cancelled;
    stats.tasks_alive = slot.tasks_created - slot.tasks_finished;
    dispatches_ += loop.slot ? stats.dispatches : stats.iterations;
    for (std::size_t i = 0; i < buckets.size(); ++i) histogram_[i] += buckets[i];
    if (auto holds = last.strip.take(); !holds.empty()) stats.strip = {Strip::step_ns, std::move(holds)};
    last.slot = slot;
    last.at_ns = now_ns;
    last.longest_ns = last.stalled_ns = 0;
    return stats;
}

Quantiles Statistics::dispatch_ns() const
{
    auto all = quantiles(std::span<const std::uint64_t>(histogram_), ns_per_tick_);
    set_longest(all, longest_ns_);
    all.max = std::max(all.max, longest_ns_);
    return all;
}

}  // namespace loopwatch
