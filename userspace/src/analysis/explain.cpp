// SPDX-License-Identifier: Apache-2.0
#include "analysis/explain.hpp"

#include <algorithm>
#include <map>
#include <string_view>

#include "analysis/calls.hpp"
#include "analysis/fingerprint.hpp"
#include "analysis/kind.hpp"
#include "analysis/parts.hpp"
#include "analysis/verdict.hpp"

namespace loopwatch {
namespace {

std::uint64_t duration_of(const SingleBlock& block)
{
    return block.end_ns > block.start_ns ? block.end_ns - block.start_ns : 0;
}

// Less what its waker waited for a CPU: a lock whose holder lost its CPU is held too long by the machine, not by the
// code.
bool is_long(const SingleBlock& block, const Thresholds& thresholds)
{
    const auto starved_ns = block.waker ? block.waker->runq_ns : 0;
    return duration_of(block) >= thresholds.block_ns + starved_ns;
}

// A place as if this had been its only block. Without its place a block keeps its times and its waker.
BlockFacts facts_of(const DispatchFacts& facts, const SingleBlock& single)
{
    BlockFacts block;
    block.syscall = unknown_syscall;
    if (const auto* place = facts.place_of(single)) block = *place;
    block.count = 1;
    block.total_ns = block.longest_ns = duration_of(single);
    block.last_start_ns = single.start_ns;
    block.last_end_ns = single.end_ns;
    block.waker = single.waker;
    block.woken_by = single.woken_by;
    return block;
}

BlockingCall blocking_call(const DispatchFacts& facts, Source source, std::uint64_t end_ns)
{
    BlockingCall call;
    call.subject = facts.subject;
    call.end_ns = end_ns;
    call.source = std::move(source);
    call.threshold_ns = facts.thresholds.block_ns;
    call.dispatch_seq = facts.seq;
    call.loop = facts.loop;
    call.task = facts.task;
    return call;
}

// What the scheduler saw of one call of the shim.
struct SeenInside {
    std::uint64_t long_blocks_ns = 0;
    std::optional<BlockFacts> longest;

    void add(BlockFacts block)
    {
        if (!longest || block.longest_ns > longest->longest_ns) longest = std::move(block);
    }
};

// How much of a call nobody but the shim could see.
std::uint64_t seen_by_shim_only(const DispatchFacts& facts, const CallFacts& call)
{
    const auto until_ns = facts.scheduler_seen ? std::min(call.end_ns, facts.start_ns + facts.unseen_ns) : call.end_ns;
    return until_ns > call.start_ns ? until_ns - call.start_ns : 0;
}

// As long as it blocked: the shim's time would have waits for a CPU in it, which are the machine's doing. Its word
// counts for what the scheduler could not see. nullopt: it was not long.
std::optional<BlockingCall> blocking_call(const DispatchFacts& facts, const CallFacts& call, const SeenInside& seen)
{
    const auto shim_ns = seen_by_shim_only(facts, call);
    const auto duration_ns = std::max(seen.long_blocks_ns, shim_ns);
    if (duration_ns < facts.thresholds.block_ns && seen.long_blocks_ns == 0) return std::nullopt;
    auto source = source_of(call);
    if (seen.longest) enrich(source, source_of(*seen.longest));
    auto blocking = blocking_call(facts, std::move(source), call.end_ns);
    blocking.source.duration_ns = blocking.source.longest_ns = duration_ns;
    blocking.source.count = 1;
    blocking.origin = shim_ns > seen.long_blocks_ns ? "preload" : "sched";
    blocking.seen_by = {"preload"};
    if (seen.longest) blocking.seen_by = {"sched", "preload"};
    return blocking;
}

std::vector<BlockingCall> blocking_calls(const DispatchFacts& facts)
{
    std::vector<BlockingCall> found;
    std::map<const CallFacts*, SeenInside> inside;
    for (const auto& single : facts.long_blocks) {
        if (!is_long(single, facts.thresholds)) continue;
        auto block = facts_of(facts, single);
        if (const auto* call = covering_call(facts, single.start_ns, single.end_ns)) {
            inside[call].long_blocks_ns += duration_of(single);
            inside[call].add(std::move(block));
            continue;
        }
        auto source = source_of(block);
        if (only_wakes(source.call)) continue;
        found.push_back(blocking_call(facts, std::move(source), single.end_ns));
        found.back().seen_by = {"sched"};
    }
    for (const auto& block : facts.blocks_by_place)
        if (const auto* call = covering_call(facts, block.last_start_ns, block.last_end_ns)) inside[call].add(block);
    for (const auto& call : facts.calls)
        if (auto long_one = blocking_call(facts, call, inside[&call])) found.push_back(std::move(*long_one));
    for (auto& call : found) {
        call.verdict = verdict_of(call);
        call.fingerprint = fingerprint("blocking_call", call.source, call.task);
        call.place_known = has_place(call.source, call.task);
        call.fingerprint_exact = fingerprint_exact("blocking_call", call.source, call.task);
    }
    std::ranges::stable_sort(found, {}, &BlockingCall::end_ns);
    return found;
}

// T: SlowCallback or Stall.
template <class T>
T slow_callback(std::string_view type, const DispatchFacts& facts)
{
    T slow;
    slow.subject = facts.subject;
    slow.end_ns = facts.end_ns;
    slow.duration_ns = facts.end_ns > facts.start_ns ? facts.end_ns - facts.start_ns : 0;
    slow.threshold_ns = facts.thresholds.slow_ns;
    slow.dispatch_seq = facts.seq;
    slow.loop = facts.loop;
    slow.task = facts.task;
    slow.breakdown = breakdown_of(facts);
    slow.sources = sources_of(facts, slow.breakdown);
    slow.impact = facts.impact;
    const auto seen = std::ranges::find_if(slow.sources, [](const Source& source) { return !source.stack.empty(); });
    if (seen != slow.sources.end()) slow.stack = seen->stack;
    if (facts.iteration) {
        slow.scope = "iteration";
        if (facts.dispatches != 0) {
            slow.dispatches = facts.dispatches;
            slow.tasks = facts.tasks;
            slow.seen_by = {"usdt"};
        } else {
            slow.origin = "sched";
        }
    } else if (facts.resume) {
        slow.origin = "uprobe";
        slow.seen_by = {"uprobe"};
    } else {
        slow.seen_by = {"usdt"};
    }
    if (!facts.scheduler_seen) {
        slow.origin = "preload";
        slow.seen_by = {"preload"};
    } else {
        slow.seen_by.emplace_back("sched");
        if (!facts.calls.empty()) slow.seen_by.emplace_back("preload");
    }
    const Source costliest = slow.sources.empty() ? Source{} : slow.sources.front();
    // What the code does tells findings apart; that it also waited for a CPU is the machine's doing.
    const auto own =
        std::ranges::find_if(slow.sources, [](const Source& source) { return is_the_codes_doing(source.kind); });
    const auto& telling = own == slow.sources.end() ? costliest : *own;
    slow.fingerprint = fingerprint(type, telling, slow.task);
    // What the machine does has no place.
    slow.place_known = !is_the_codes_doing(telling.kind) || has_place(telling, slow.task);
    slow.end_known = facts.end_known;
    slow.fingerprint_exact = fingerprint_exact(type, telling, slow.task);
    if constexpr (std::is_same_v<T, Stall>) slow.start_known = facts.start_known;
    slow.verdict = verdict_of(slow);
    return slow;
}

}  // namespace

Findings explain(const DispatchFacts& facts)
{
    Findings findings;
    if (facts.in_progress) {
        findings.stall = slow_callback<Stall>("stall", facts);
        return findings;
    }
    if (facts.slow && facts.complete) findings.slow = slow_callback<SlowCallback>("slow_callback", facts);
    findings.blocking = blocking_calls(facts);
    return findings;
}

}  // namespace loopwatch
