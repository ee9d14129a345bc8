// SPDX-License-Identifier: Apache-2.0
//
// The loops of a shim's target: which there are, and what they count, also once its memory is gone.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "attach/shim_target.hpp"
#include "detect/statistics.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_candidates = 1024;
constexpr std::size_t max_known_loops = 1024;
constexpr std::uint64_t hang_factor = 10, min_hang_ns = 1'000'000'000;  // a thread that is no loop is busy for long too

}  // namespace

void ShimTarget::leave(std::size_t lane)
{
    if (const auto left = taken_.extract(lane); !left.empty()) left_.push_back(left.mapped());
}

// Those that have left since the look before the last: what they reported at the end still had their names.
void ShimTarget::forget_left()
{
    const auto is = [](const auto& one, const LoopView& loop) { return one.tid == loop.tid && one.loop_id == loop.id; };
    const auto runs = [&](const LoopView& loop) {
        return std::ranges::any_of(taken_, [&](const auto& taken) { return is(taken.second, loop); });
    };
    std::erase_if(known_loops_, [&](const LoopView& loop) {
        const bool left = std::ranges::any_of(left_, [&](const Taken& one) { return is(one, loop); });
        const bool gone = left && !runs(loop);
        if (gone) stopped_.erase({loop.tid, loop.id});
        return gone;
    });
    left_.clear();
}

// None: its slot cannot be read, as it has ended, or its process. The record of its start says what it is.
std::optional<LoopView> ShimTarget::view(const ShimLane& lane, std::uint32_t tid)
{
    if (lane.slot == 0) return LoopView{0, tid, lane.tid, tid, process_.comm(static_cast<pid_t>(tid))};
    LoopState slot = {};
    if (loops_.read(lane.slot, slot)) return loops_.view(lane.slot, slot, tid);
    if (process_.alive() && !look_if_replaced() && !std::exchange(blind_, true))
        warn(
            "its memory cannot be read (kernel.yama.ptrace_scope, or a seccomp filter): no stall is reported while it "
            "lasts, and no place of a task");
    return std::nullopt;
}

void ShimTarget::look(std::uint64_t now_ns)
{
    bool born = false;
    if (!holds_back(now_ns)) forget_left();
    std::set<std::size_t> now;
    for (const auto& lane : ring_.look()) {
        if (lane.candidate) {
            look_at_candidate(lane);
            continue;
        }
        now.insert(lane.index);
        candidates_.erase({lane.index, lane.tid});
        if (const auto known = taken_.find(lane.index);
            known != taken_.end() && known->second.registrations == lane.registrations)
            continue;
        leave(lane.index);
        const auto tid = outer_tid(lane.tid);
        if (tid == 0) continue;
        const auto loop = view(lane, tid);
        carries_runtime_ |= lane.slot != 0;
        taken_[lane.index] = {lane.registrations, tid, loop ? loop->id : 0};
        born = true;
        if (loop && !find_loop(loop->tid, loop->id)) Statistics::born(known_loops_.emplace_back(*loop), now_ns);
    }
    if (ring_.bypassed() && !std::exchange(unarmed_, true))
        warn(
            "the shim is loaded, but calls do not come by it: another library in LD_PRELOAD before it, a sanitizer, or "
            "RTLD_DEEPBIND");
    if (ring_.sandboxed() && !std::exchange(sandboxed_, true))
        warn(
            "it restricts its system calls (seccomp), and the shim makes none since: calls are reported without stacks "
            "and texts; a loop that another thread starts is not seen, nor what it becomes by exec");
    std::vector<std::size_t> gone;
    for (const auto& [lane, taken] : taken_)
        if (!now.contains(lane)) gone.push_back(lane);
    for (const auto lane : gone) leave(lane);
    // By now the runtime has opened its perf map, which it had not when the shim was loaded.
    was_born_ |= born;
    if (born) (void)refresh();
}

// How long it has been busy since it last waited; the program may end before it does so again.
void ShimTarget::look_at_candidate(const ShimLane& lane)
{
    const std::pair key{lane.index, lane.tid};
    if (candidates_.size() >= max_candidates && !candidates_.contains(key)) return;
    auto& candidate = candidates_[key];
    candidate.held = lane.held;
    const auto slot = ring_.read_own_slot(lane.index);
    const auto tid = outer_tid(lane.tid);
    const auto now = monotonic_ns();
    if (!slot || slot->start == 0 || slot->start > now) return;
    if (tid == 0 || !process_.has_thread(static_cast<pid_t>(tid))) return;
    if (std::exchange(candidate.busy_since_ns, slot->start) != slot->start) candidate.held_before = lane.held;
    candidate.busy_ns = now - slot->start;
    if (candidate.busy_ns < std::max(hang_factor * thresholds_.slow_ns, min_hang_ns) || !known_loops_.empty() ||
        std::exchange(hanging_, true))
        return;
    warn(
        fmt::format("thread {} waited for events, and has not done so again for {:.1f} s: an event loop is recognised "
                    "once it has waited three times in one place. If this is one, it hangs",
                    tid, static_cast<double>(candidate.busy_ns) / 1e9));
}

ShimTarget::Unproven ShimTarget::unproven() const
{
    Unproven sum;
    for (const auto& [lane, candidate] : candidates_) {
        const bool goes_on = candidate.busy_ns >= thresholds_.slow_ns && candidate.held == candidate.held_before;
        const auto held = candidate.held + (goes_on ? 1u : 0u);
        sum.held += held;
        sum.threads += held != 0 ? 1 : 0;
    }
    return sum;
}

std::optional<std::size_t> ShimTarget::lane_of(std::uint32_t tid) const
{
    for (const auto& [lane, taken] : taken_)
        if (taken.tid == tid) return lane;
    return std::nullopt;
}

bool ShimTarget::read(const LoopView& loop, LoopState& slot) const
{
    if (stopped_.contains({loop.tid, loop.id})) return false;  // its memory may be another loop's
    if (loop.slot && loops_.read(loop.slot, slot)) return true;
    const auto lane = lane_of(loop.tid);
    if (!lane) return false;
    const auto kept = loop.slot ? ring_.read_slot_at_exit(*lane) : ring_.read_own_slot(*lane);
    if (!kept || (loop.slot && (kept->loop_id != loop.id || kept->tid != loop.ns_tid))) return false;
    slot = *kept;
    return true;
}

std::optional<std::uint64_t> ShimTarget::seq(const LoopView& loop) const
{
    if (stopped_.contains({loop.tid, loop.id})) return std::nullopt;
    if (loop.slot) return loops_.memory().object<std::uint64_t>(loop.slot);
    const auto lane = lane_of(loop.tid);
    const auto own = lane ? ring_.read_own_slot(*lane) : std::nullopt;
    return own ? std::optional(own->seq) : std::nullopt;
}

// One that lived for less than a look is known by what its shim recorded of it.
void ShimTarget::on(const LoopStartedEvent& event)
{
    const auto [tid, id] = std::pair(event.head.tid, event.head.loop_id);
    stopped_.erase({tid, id});
    if (find_loop(tid, id) || known_loops_.size() >= max_known_loops) return;
    const auto ns_tid = process_.ns_id(static_cast<pid_t>(tid));
    known_loops_.emplace_back(LoopView{event.slot, id, ns_tid, tid, std::string(event.name)});
    carries_runtime_ = true;
    const auto lane = lane_of(tid);
    if (lane && taken_[*lane].loop_id == 0)
        taken_[*lane].loop_id = id;
    else
        left_.push_back({0, tid, id});  // it has left its lane by now
}

// Its statistics begin with it, and not with the look that found it.
bool ShimTarget::knew_of(const LoopStartedEvent& event)
{
    auto* const loop = find_loop(event.head.tid, event.head.loop_id);
    if (!loop || stopped_.contains({loop->tid, loop->id})) return false;
    auto& window = loop->statistics;
    const bool untouched = window.slot.seq == 0 && window.slot.iterations == 0;
    if (untouched) window.at_ns = std::min(window.at_ns, event.head.time_ns);
    return true;
}

// Findings of its last dispatches are still to be named by it.
void ShimTarget::remove_loop(std::uint32_t tid, std::uint64_t loop_id)
{
    const auto* const loop = find_loop(tid, loop_id);
    if (loop && loop->slot)
        stopped_.insert({tid, loop_id});
    else
        Target::remove_loop(tid, loop_id);
}

void ShimTarget::check_statistics()
{
    LoopState slot;
    const bool missing = std::ranges::any_of(known_loops_, [&](const Loop& loop) {
        return loop.slot && !stopped_.contains({loop.tid, loop.id}) && !read(loop, slot);
    });
    if (!missing) return;
    warn(
        "it ended without exit(), by a signal, _exit or exec: what its loops have counted since their last statistics "
        "is missing");
}

}  // namespace loopwatch
