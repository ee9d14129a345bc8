// SPDX-License-Identifier: Apache-2.0
#include "analysis/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "analysis/frames.hpp"

namespace loopwatch {
namespace {

constexpr std::uint64_t least_percent = 5;
constexpr std::uint64_t least_cpu_ns = 1'000'000;

bool worth_telling(std::uint64_t part_ns, std::uint64_t whole_ns)
{
    return part_ns != 0 && part_ns / least_percent >= whole_ns / 100;
}

// A source while it is put together.
struct Part {
    Source source;
    std::uint64_t calls_ns = 0;   // as the shim timed them
    std::uint64_t blocks_ns = 0;  // as the scheduler did
    std::uint64_t longest_block_ns = 0;
    bool from_kernel = false;
};

// Waits of one call at one place are one source: they differ at most in frames inside of libc.
std::string merge_key(const Source& source)
{
    auto key = fmt::format("{}|{}", static_cast<int>(source.kind), source.call);
    for (const auto& [name, value] : source.args)
        if (name != "bytes") key += '|' + name + '=' + value;
    for (const auto& frame : source.stack)
        if (owner_of(frame) != FrameOwner::libc) key += fmt::format("|{}:{}", frame_identity(frame), frame.line);
    return key;
}

// A place with the waker of its longest known wait: the kernel side tells wakers of single waits.
BlockFacts with_waker(const DispatchFacts& facts, std::size_t place)
{
    auto block = facts.blocks_by_place[place];
    std::uint64_t longest_ns = 0;
    for (const auto& single : facts.long_blocks) {
        if (single.place != place || single.end_ns < single.start_ns + longest_ns) continue;
        longest_ns = single.end_ns - single.start_ns;
        block.waker = single.waker;
        block.woken_by = single.woken_by;
    }
    return block;
}

void add_block(Part& part, const BlockFacts& block)
{
    part.blocks_ns += block.total_ns;
    if (!part.from_kernel || block.longest_ns > part.longest_block_ns) enrich(part.source, source_of(block));
    part.longest_block_ns = std::max(part.longest_block_ns, block.longest_ns);
    if (part.calls_ns == 0) {
        part.source.count += block.count;
        part.source.longest_ns = std::max(part.source.longest_ns, block.longest_ns);
    }
    part.from_kernel = true;
}

using Parts = std::map<std::string, Part>;

// The call that covers any wait of a place which is known singly.
const CallFacts* call_of_place(const DispatchFacts& facts, std::size_t place)
{
    const auto& block = facts.blocks_by_place[place];
    if (const auto* call = covering_call(facts, block.last_start_ns, block.last_end_ns)) return call;
    for (const auto& single : facts.long_blocks)
        if (single.place == place)
            if (const auto* call = covering_call(facts, single.start_ns, single.end_ns)) return call;
    return nullptr;
}

Parts collect_parts(const DispatchFacts& facts)
{
    Parts parts;
    for (const auto& call : facts.calls) {
        auto source = source_of(call);
        auto& part = parts["call|" + merge_key(source)];
        part.calls_ns += source.duration_ns;
        source.count += part.source.count;
        source.longest_ns = std::max(source.longest_ns, part.source.longest_ns);
        part.source = std::move(source);
    }
    for (std::size_t place = 0; place < facts.blocks_by_place.size(); ++place) {
        const auto block = with_waker(facts, place);
        const auto* call = call_of_place(facts, place);
        auto source = source_of(block);
        auto& part = call ? parts["call|" + merge_key(source_of(*call))] : parts["block|" + merge_key(source)];
        if (part.source.count == 0) {
            source.count = 0;
            source.longest_ns = 0;
            part.source = std::move(source);
        }
        add_block(part, block);
    }
    return parts;
}

// Hands what the scheduler could not place to the calls that lasted longer than their known waits; returns what is
// left.
std::uint64_t settle_durations(Parts& parts, std::uint64_t unplaced_ns)
{
    for (auto& [key, part] : parts) {
        const auto excess = part.calls_ns > part.blocks_ns ? part.calls_ns - part.blocks_ns : 0;
        const auto taken = std::min(excess, unplaced_ns);
        unplaced_ns -= taken;
        part.blocks_ns += taken;
        part.source.duration_ns = part.from_kernel ? part.blocks_ns : part.calls_ns;
    }
    return unplaced_ns;
}

Source plain_source(Kind kind, std::uint64_t duration_ns)
{
    Source source;
    source.kind = kind;
    source.duration_ns = source.longest_ns = duration_ns;
    return source;
}

// Who had the CPU meanwhile stands where a lock's holder would, if it had it for as much as is told of at all: who ran
// for a moment before the thread's turn came is only the last of many. A block ends with a wait for a CPU too.
Source run_queue_source(std::uint64_t duration_ns, const DispatchFacts& facts)
{
    auto source = plain_source(Kind::run_queue, duration_ns);
    source.count = facts.preemptions + facts.blocks;
    source.longest_ns = std::min(facts.longest_runq_ns, duration_ns);
    const bool all = source.longest_ns != 0 && source.count >= (duration_ns - 1) / source.longest_ns + 1;
    if (!all) source.count = source.longest_ns = 0;
    if (facts.preemptor && worth_telling(facts.preemptor_ns, duration_ns)) {
        source.args.emplace_back("preempted_by", facts.preemptor->comm);
        source.args.emplace_back("preempted_by_pid", std::to_string(facts.preemptor->pid));
        if (facts.preemptor->pid == facts.subject.pid)
            source.args.emplace_back("preempted_by_tid", std::to_string(facts.preemptor->tid));
        const auto percent = facts.preemptor_ns * 100 / facts.preemptors_ns;  // of what was seen of it
        source.args.emplace_back("preempted_percent", std::to_string(percent));
    }
    return source;
}

Source cpu_source(std::uint64_t duration_ns, std::span<const SampleFacts> samples)
{
    auto source = plain_source(Kind::cpu, duration_ns);
    source.count = samples.size();
    if (auto path = heaviest_path(samples)) {
        source.stack = std::move(path->stack);
        source.args.emplace_back("share_percent", std::to_string(path->share_percent));
    }
    return source;
}

}  // namespace

const CallFacts* covering_call(const DispatchFacts& facts, std::uint64_t start_ns, std::uint64_t end_ns)
{
    if (end_ns < start_ns) return nullptr;
    // A wait lies within one call or in none, so its middle decides: the shim's clock may be off by microseconds.
    const auto middle = start_ns + (end_ns - start_ns) / 2;
    const auto found = std::ranges::find_if(
        facts.calls, [&](const CallFacts& call) { return call.start_ns <= middle && middle < call.end_ns; });
    return found == facts.calls.end() ? nullptr : &*found;
}

Breakdown breakdown_of(const DispatchFacts& facts)
{
    Breakdown parts;
    auto rest = facts.end_ns > facts.start_ns ? facts.end_ns - facts.start_ns : 0;
    const auto take = [&](std::uint64_t wanted) {
        const auto taken = std::min(wanted, rest);
        rest -= taken;
        return taken;
    };
    auto blocked_ns = facts.blocked_ns;
    if (!facts.scheduler_seen)
        for (const auto& call : facts.calls) blocked_ns += source_of(call).duration_ns;
    parts.other_ns = take(facts.unseen_ns);
    parts.blocked_ns = take(blocked_ns);
    parts.stopped_ns = take(facts.stopped_ns);
    parts.throttled_ns = take(facts.throttled_ns);
    parts.runq_ns = take(facts.runq_ns);
    (facts.scheduler_seen ? parts.cpu_ns : parts.other_ns) += rest;
    return parts;
}

std::vector<Source> sources_of(const DispatchFacts& facts, const Breakdown& breakdown, const Thresholds& thresholds)
{
    const auto whole_ns = facts.end_ns > facts.start_ns ? facts.end_ns - facts.start_ns : 0;
    auto parts = collect_parts(facts);
    // A short call without a wait is CPU time like any other.
    if (facts.scheduler_seen)
        std::erase_if(parts, [&](const auto& entry) {
            return !entry.second.from_kernel && entry.second.calls_ns < thresholds.block_ns;
        });
    std::uint64_t placed_ns = 0;
    for (const auto& [key, part] : parts) placed_ns += part.blocks_ns;
    const auto unplaced_ns = breakdown.blocked_ns > placed_ns ? breakdown.blocked_ns - placed_ns : 0;
    const auto elsewhere_ns = settle_durations(parts, facts.scheduler_seen ? unplaced_ns : 0);

    std::vector<Source> sources;
    auto cpu_ns = breakdown.cpu_ns;
    for (auto& [key, part] : parts) {
        if (!part.from_kernel) cpu_ns -= std::min(cpu_ns, part.calls_ns - part.blocks_ns);
        if (part.source.duration_ns != 0) sources.push_back(std::move(part.source));
    }
    if (worth_telling(elsewhere_ns, whole_ns)) sources.push_back(plain_source(Kind::other, elsewhere_ns));
    if (cpu_ns >= least_cpu_ns && worth_telling(cpu_ns, whole_ns)) sources.push_back(cpu_source(cpu_ns, facts.samples));
    const auto unknown_ns = breakdown.other_ns - std::min(breakdown.other_ns, facts.unseen_ns);
    if (!facts.scheduler_seen && worth_telling(unknown_ns, whole_ns)) {
        sources.push_back(plain_source(Kind::other, unknown_ns));
        sources.back().args.emplace_back("reason", "no call of the shim's");
    }
    if (worth_telling(facts.unseen_ns, whole_ns)) {
        sources.push_back(plain_source(Kind::other, std::min(facts.unseen_ns, breakdown.other_ns)));
        sources.back().args.emplace_back("reason", "before the session");
    }
    if (worth_telling(breakdown.runq_ns, whole_ns)) sources.push_back(run_queue_source(breakdown.runq_ns, facts));
    if (worth_telling(breakdown.throttled_ns, whole_ns))
        sources.push_back(plain_source(Kind::cpu_throttle, breakdown.throttled_ns));
    if (worth_telling(breakdown.stopped_ns, whole_ns))
        sources.push_back(plain_source(Kind::stopped, breakdown.stopped_ns));
    std::ranges::stable_sort(sources, std::greater{}, &Source::duration_ns);
    return sources;
}

}  // namespace loopwatch
