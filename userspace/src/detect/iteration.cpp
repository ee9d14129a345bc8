// SPDX-License-Identifier: Apache-2.0
#include "detect/iteration.hpp"

#include <algorithm>
#include <utility>

#include "analysis/pieces.hpp"
#include "analysis/resume.hpp"

namespace loopwatch {

namespace {

// Its waits in places that nobody had judged then, and that are the loop's own.
std::vector<ParkFacts> own_waits(const DispatchFacts& facts, const WaitSites& sites)
{
    auto waits = facts.parks;
    std::erase_if(waits, [&](const ParkFacts& park) {
        return !sites.idles_at({facts.subject.tid, park.syscall, park.ip, park.sp, park.object});
    });
    return waits;
}

void take_out(const TimeOff& before, DispatchFacts& facts)
{
    const auto subtract = [](std::uint64_t& from, std::uint64_t ns) { from -= std::min(from, ns); };
    subtract(facts.other_blocked_ns, before.other_blocked_ns);
    subtract(facts.blocked_ns, before.other_blocked_ns);
    subtract(facts.runq_ns, before.runq_ns);
    subtract(facts.throttled_ns, before.throttled_ns);
    subtract(facts.stopped_ns, before.stopped_ns);
}

// Sleeps of the loop's own, the first ones at their place, part iterations: none of the parts was slow if all of them
// together were not. Of a single sleep it is known when it was, so which of the two parts was: if it is the first, it
// is what is told.
Iteration parted_by(const BlockFacts& block, DispatchFacts& facts)
{
    const auto lasted_ns = facts.end_ns - std::min(facts.end_ns, facts.start_ns);
    const auto awake_ns = lasted_ns - std::min(lasted_ns, block.total_ns);
    if (awake_ns < facts.thresholds.slow_ns) return Iteration::none;
    if (block.count != 1 || block.last_start_ns < facts.start_ns) return Iteration::unclear;
    const auto before_ns = block.last_start_ns - facts.start_ns;
    const auto after_ns = awake_ns - std::min(awake_ns, before_ns);
    if (after_ns >= facts.thresholds.slow_ns) return Iteration::unclear;
    if (before_ns < facts.thresholds.slow_ns) return Iteration::none;
    facts.end_ns = block.last_start_ns;
    return Iteration::real;
}

}  // namespace

std::vector<DispatchFacts> part_iteration(DispatchFacts facts, const WaitSites& sites, const TimeOff* before)
{
    auto waits = own_waits(facts, sites);
    if (before) {
        take_out(*before, facts);
        waits.insert(waits.begin(), {facts.start_ns, facts.start_ns});
    }
    if (!waits.empty()) return pieces_between(facts, waits, facts.thresholds.slow_ns);
    std::vector<DispatchFacts> whole;
    whole.push_back(std::move(facts));
    return whole;
}

void mark_loop(DispatchFacts& facts, const WaitSites& sites)
{
    for (auto& block : facts.blocks_by_place) sites.mark_loop(facts.subject.tid, block.stack);
    for (auto& call : facts.calls) sites.mark_loop(facts.subject.tid, call.stack);
    for (auto& sample : facts.samples) sites.mark_loop(facts.subject.tid, sample.stack);
}

bool remove_after_loop(DispatchFacts& facts, WaitSites& sites)
{
    const auto left = [&](const auto& part) { return sites.left_loop(facts.subject.tid, part.stack); };
    if (facts.last) {
        for (auto& block : facts.blocks_by_place)
            if (left(block)) take_out(block, facts);
        std::erase_if(facts.calls, left);
        return true;
    }
    const bool outside = std::ranges::any_of(facts.blocks_by_place, left) || std::ranges::any_of(facts.samples, left) ||
                         std::ranges::any_of(facts.calls, left);
    if (outside && !facts.in_progress) sites.note_return(facts.subject.tid);
    return !outside || !facts.in_progress;
}

Iteration judge_iteration(DispatchFacts& facts, WaitSites& sites)
{
    const auto tid = facts.subject.tid;
    if (facts.unclear) return Iteration::unclear;
    for (auto& block : facts.blocks_by_place) {
        // Of a stall whose start is the end of one of the loop's own waits: the sums go further back.
        if (block.count != 0 && block.last_end_ns <= facts.start_ns) take_out(block, facts);
        if (block.syscall < 0 || block.count == 0) continue;
        const auto site = wait_site(tid, static_cast<std::uint32_t>(block.syscall), block.ip, block.sp, block.args);
        if (!sites.idles_at(site)) continue;
        if (block.last_start_ns < facts.end_ns)
            if (const auto parted = parted_by(block, facts); parted != Iteration::real) return parted;
        take_out(block, facts);
    }
    for (auto& block : facts.blocks_by_place)
        if (block.count == 1 && block.last_start_ns >= facts.end_ns) take_out(block, facts);
    std::erase_if(facts.long_blocks, [&](const SingleBlock& single) {
        const auto* block = facts.place_of(single);
        return block && block->syscall >= 0 &&
               sites.is_loops_own_lock(tid, static_cast<std::uint32_t>(block->syscall), block->args[0], block->stack);
    });
    if (!remove_after_loop(facts, sites)) return Iteration::none;
    attribute_to_resume(facts);
    return Iteration::real;
}

}  // namespace loopwatch
