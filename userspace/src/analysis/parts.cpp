// SPDX-License-Identifier: Apache-2.0
#include "analysis/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "analysis/calls.hpp"
#include "analysis/frames.hpp"
#include "analysis/shared_path.hpp"

namespace loopwatch {
namespace {

constexpr std::uint64_t least_percent = 5;
constexpr std::uint64_t least_cpu_ns = 1'000'000;

bool worth_telling(std::uint64_t part_ns, std::uint64_t whole_ns)
{
    return part_ns != 0 && part_ns / least_percent >= whole_ns / 100;
}

// A source while it is put together. `source` is that of its longest call, else of its longest wait.
struct Part {
    Source source;
    std::uint64_t calls = 0, calls_ns = 0, longest_call_ns = 0;   // as the shim timed them
    std::uint64_t waits = 0, blocks_ns = 0, longest_wait_ns = 0;  // as the scheduler did
    std::optional<std::size_t> into;                              // where it went, once it has proven to be of another
};

std::string without_libc(std::span<const Frame> stack)
{
    std::string key;
    for (const auto& frame : stack)
        if (owner_of(frame) != FrameOwner::libc) key += fmt::format("{}:{}|", frame_identity(frame), frame.line);
    return key;
}

// Waits of one call at one place are one source: they differ at most in frames inside of libc.
std::string merge_key(const Source& source)
{
    auto key = fmt::format("{}|{}", static_cast<int>(source.kind), source.call);
    for (const auto& [name, value] : source.args)
        if (name != "bytes") key += '|' + name + '=' + value;
    return key + '|' + without_libc(source.stack);
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

void add_call(Part& part, const CallFacts& call)
{
    auto source = source_of(call);
    const auto longest_ns = source.longest_ns;
    part.calls_ns += source.duration_ns;
    const auto count = source.count;
    if (part.calls == 0 || longest_ns > part.longest_call_ns) part.source = std::move(source);
    part.calls += count;
    part.longest_call_ns = std::max(part.longest_call_ns, longest_ns);
}

void add_block(Part& part, const BlockFacts& block)
{
    auto source = source_of(block);
    const bool longest = part.waits == 0 || block.longest_ns > part.longest_wait_ns;
    if (longest && part.calls != 0)
        enrich(part.source, source);
    else if (longest)
        part.source = std::move(source);
    part.waits += block.count;
    part.blocks_ns += block.total_ns;
    part.longest_wait_ns = std::max(part.longest_wait_ns, block.longest_ns);
}

// A call knows more of itself than its waits do.
void absorb(Part& part, Part& other)
{
    const bool better = other.calls != 0 && (part.calls == 0 || other.longest_call_ns > part.longest_call_ns);
    if (better) {
        std::swap(part.source, other.source);
        if (part.waits != 0) enrich(part.source, other.source);
    }
    part.calls += other.calls;
    part.calls_ns += other.calls_ns;
    part.longest_call_ns = std::max(part.longest_call_ns, other.longest_call_ns);
    part.waits += other.waits;
    part.blocks_ns += other.blocks_ns;
    part.longest_wait_ns = std::max(part.longest_wait_ns, other.longest_wait_ns);
}

// Frames outwards from the code that called; of one of them less may have been copied.
bool same_callers(const std::string& one, const std::string& other)
{
    return one.starts_with(other) || other.starts_with(one);
}

// Of a place with many short waits it is not known in which of the calls that the shim timed they were. The same call
// from the same code is of this place; without one of the stacks, on the same descriptor.
bool calls_from_here(const Source& call, const Source& place)
{
    const auto* const row = find_call(call.call);
    if (call.call != place.call && (row == nullptr || row != find_call(place.call))) return false;
    if (!call.stack.empty() && !place.stack.empty())
        return same_callers(without_libc(call.stack), without_libc(place.stack));
    const auto same = [&](const auto& arg) { return std::ranges::find(place.args, arg) != place.args.end(); };
    return std::ranges::any_of(call.args, [&](const auto& arg) { return arg.first == "fd" && same(arg); });
}

using Parts = std::vector<Part>;

// By the call's place in `facts`, the part it is in.
Parts parts_of_calls(const DispatchFacts& facts, std::map<const CallFacts*, std::size_t>& part_of)
{
    Parts parts;
    std::map<std::string, std::size_t> known;
    for (const auto& call : facts.calls) {
        const auto [at, is_new] = known.try_emplace(merge_key(source_of(call)), parts.size());
        if (is_new) parts.emplace_back();
        add_call(parts[at->second], call);
        part_of[&call] = at->second;
    }
    return parts;
}

// The place and all of these are of one part; none: a new one.
std::size_t joined(Parts& parts, const std::vector<std::size_t>& those)
{
    std::optional<std::size_t> one;
    for (auto part : those) {
        while (parts[part].into) part = *parts[part].into;
        if (one == part) continue;
        if (one) {
            absorb(parts[*one], parts[part]);
            parts[part].into = one;
        }
        if (!one) one = part;
    }
    if (one) return *one;
    parts.emplace_back();
    return parts.size() - 1;
}

// Those that cover any wait of a place which is known singly.
std::vector<const CallFacts*> calls_around(const DispatchFacts& facts, std::size_t place)
{
    std::vector<const CallFacts*> calls;
    const auto add = [&](std::uint64_t start_ns, std::uint64_t end_ns) {
        if (const auto* call = covering_call(facts, start_ns, end_ns)) calls.push_back(call);
    };
    const auto& block = facts.blocks_by_place[place];
    if (block.count != 0) add(block.last_start_ns, block.last_end_ns);
    for (const auto& single : facts.long_blocks)
        if (single.place == place) add(single.start_ns, single.end_ns);
    return calls;
}

Parts collect_parts(const DispatchFacts& facts)
{
    std::map<const CallFacts*, std::size_t> part_of;
    auto parts = parts_of_calls(facts, part_of);
    const auto calls = parts.size();
    std::map<std::string, std::size_t> places;
    for (std::size_t place = 0; place < facts.blocks_by_place.size(); ++place) {
        const auto block = with_waker(facts, place);
        const auto source = source_of(block);
        std::vector<std::size_t> same;
        for (const auto* call : calls_around(facts, place)) same.push_back(part_of[call]);
        for (std::size_t part = 0; part < calls; ++part)
            if (!parts[part].into && calls_from_here(parts[part].source, source)) same.push_back(part);
        const auto key = merge_key(source);
        if (const auto known = places.find(key); known != places.end()) same.push_back(known->second);
        const auto own = joined(parts, same);
        places[key] = own;
        add_block(parts[own], block);
    }
    std::erase_if(parts, [](const Part& part) { return part.into.has_value(); });
    return parts;
}

// What the scheduler saw of a part, and of what it could not place as much as the calls lasted longer than their known
// waits, is its time. Returns what is left. Without the scheduler it is the calls'.
std::uint64_t settle_durations(Parts& parts, std::uint64_t unplaced_ns, bool scheduler_seen)
{
    for (auto& part : parts) {
        auto& source = part.source;
        if (!scheduler_seen) {
            source.duration_ns = part.calls_ns;
            source.count = part.calls;
            source.longest_ns = part.longest_call_ns;
            continue;
        }
        const auto excess = part.calls_ns > part.blocks_ns ? part.calls_ns - part.blocks_ns : 0;
        const auto taken = std::min(excess, unplaced_ns);
        unplaced_ns -= taken;
        source.duration_ns = part.blocks_ns + taken;
        source.count = taken == 0 ? part.waits : std::max(part.waits, part.calls);
        source.longest_ns =
            std::min(taken == 0 ? part.longest_wait_ns : std::max(part.longest_wait_ns, part.longest_call_ns),
                     source.duration_ns);
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

Source unplaced(std::uint64_t duration_ns, std::string_view reason)
{
    auto source = plain_source(Kind::other, duration_ns);
    source.args.emplace_back("reason", reason);
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
        source.shared = shared_path(samples);
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
    if (!facts.scheduler_seen) {
        for (const auto& call : facts.calls) blocked_ns += source_of(call).duration_ns;
        blocked_ns += facts.unrecorded_ns;
    }
    parts.other_ns = take(facts.unseen_ns);
    parts.blocked_ns = take(blocked_ns);
    parts.stopped_ns = take(facts.stopped_ns);
    parts.throttled_ns = take(facts.throttled_ns);
    parts.runq_ns = take(facts.runq_ns);
    (facts.scheduler_seen ? parts.cpu_ns : parts.other_ns) += rest;
    return parts;
}

std::vector<Source> sources_of(const DispatchFacts& facts, const Breakdown& breakdown)
{
    const auto whole_ns = facts.end_ns > facts.start_ns ? facts.end_ns - facts.start_ns : 0;
    auto parts = collect_parts(facts);
    // A short call without a wait is CPU time like any other.
    if (facts.scheduler_seen)
        std::erase_if(parts,
                      [&](const Part& part) { return part.waits == 0 && part.calls_ns < facts.thresholds.block_ns; });
    std::uint64_t placed_ns = 0;
    for (const auto& part : parts) placed_ns += part.blocks_ns;
    const auto unplaced_ns = breakdown.blocked_ns > placed_ns ? breakdown.blocked_ns - placed_ns : 0;
    const auto elsewhere_ns = settle_durations(parts, facts.scheduler_seen ? unplaced_ns : 0, facts.scheduler_seen);

    std::vector<Source> sources;
    const auto cpu_ns = breakdown.cpu_ns;
    for (auto& part : parts)
        if (part.source.duration_ns != 0) sources.push_back(std::move(part.source));
    if (worth_telling(elsewhere_ns, whole_ns)) sources.push_back(plain_source(Kind::other, elsewhere_ns));
    if (cpu_ns >= least_cpu_ns && worth_telling(cpu_ns, whole_ns)) sources.push_back(cpu_source(cpu_ns, facts.samples));
    if (!facts.scheduler_seen) {
        const auto rest_ns = breakdown.other_ns - std::min(breakdown.other_ns, facts.unseen_ns);
        const auto unrecorded_ns =
            std::min(facts.unrecorded_ns, breakdown.blocked_ns) + (facts.calls_missing ? rest_ns : 0);
        if (worth_telling(unrecorded_ns, whole_ns)) sources.push_back(unplaced(unrecorded_ns, not_recorded));
        if (!facts.calls_missing && worth_telling(rest_ns, whole_ns)) sources.push_back(unplaced(rest_ns, cpu_or_wait));
    }
    if (worth_telling(facts.unseen_ns, whole_ns))
        sources.push_back(unplaced(std::min(facts.unseen_ns, breakdown.other_ns), before_session));
    if (worth_telling(breakdown.runq_ns, whole_ns)) sources.push_back(run_queue_source(breakdown.runq_ns, facts));
    if (worth_telling(breakdown.throttled_ns, whole_ns))
        sources.push_back(plain_source(Kind::cpu_throttle, breakdown.throttled_ns));
    if (worth_telling(breakdown.stopped_ns, whole_ns))
        sources.push_back(plain_source(Kind::stopped, breakdown.stopped_ns));
    std::ranges::stable_sort(sources, std::greater{}, &Source::duration_ns);
    return sources;
}

}  // namespace loopwatch
