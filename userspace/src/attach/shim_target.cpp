// SPDX-License-Identifier: Apache-2.0
#include "attach/shim_target.hpp"

#include <fmt/format.h>
#include <sys/syscall.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "analysis/calls.hpp"
#include "collect/task_snapshot.hpp"
#include "detect/idle_split.hpp"
#include "detect/iteration.hpp"
#include "detect/stall.hpp"
#include "detect/statistics.hpp"
#include "resolve/captured_stack.hpp"
#include "util/duration.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t clock_error_ns = 1'000'000;
constexpr std::size_t max_drained = 4096;  // records, before a stall is reported

// It was written before it was read.
bool ends_in_future(const Event& event)
{
    std::uint64_t end_ns = 0;
    if (const auto* call = std::get_if<CallEvent>(&event)) end_ns = call->end_ns;
    if (const auto* dispatch = std::get_if<DispatchEvent>(&event)) end_ns = dispatch->end_ns;
    if (const auto* iteration = std::get_if<IterationEvent>(&event)) end_ns = iteration->end_ns;
    if (const auto* started = std::get_if<LoopStartedEvent>(&event)) end_ns = started->head.time_ns;
    if (const auto* stopped = std::get_if<LoopStoppedEvent>(&event)) end_ns = stopped->head.time_ns;
    return end_ns > monotonic_ns() + clock_error_ns;
}

// A wait for a lock, or a system call by its number: it may be the loop's own.
bool may_be_idle(const CallEvent& call)
{
    const auto* const row = find_call(call.call);
    return row != nullptr && (row->rule == CallRule::lock || row->rule == CallRule::other);
}

}  // namespace

ShimTarget::ShimTarget(Process process, ShimRing ring, SymbolWorker& worker, const Thresholds& thresholds)
    : Target(std::move(process), thresholds),
      ring_(std::move(ring)),
      worker_(worker),
      sites_(std::make_shared<WaitSites>())
{
}

std::uint32_t ShimTarget::outer_tid(std::uint32_t ns_tid)
{
    if (ns_pid() == pid()) return ns_tid;
    if (const auto known = outer_.find(ns_tid); known != outer_.end()) return known->second;
    for (const pid_t tid : process_.threads())
        if (process_.ns_id(tid) == ns_tid) return outer_[ns_tid] = static_cast<std::uint32_t>(tid);
    return 0;
}

bool ShimTarget::drain(std::size_t most, const std::function<void(const Event&)>& handle)
{
    return ring_.drain(most, [&](const Event& event) {
        const auto own = as_own(event);
        if (!own)
            ++strange_;
        else if (const auto* started = std::get_if<LoopStartedEvent>(&*own); !started || !knew_of(*started))
            handle(*own);
    });
}

// What this process may say of itself: its loops, calls, waits, dispatches and iterations.
std::optional<Event> ShimTarget::as_own(Event event)
{
    EventHead* head = nullptr;
    if (auto* call = std::get_if<CallEvent>(&event)) head = &call->head;
    if (auto* dispatch = std::get_if<DispatchEvent>(&event)) head = &dispatch->head;
    if (auto* iteration = std::get_if<IterationEvent>(&event)) head = &iteration->head;
    if (auto* wait = std::get_if<ShimWaitEvent>(&event)) head = &wait->head;
    if (auto* started = std::get_if<LoopStartedEvent>(&event)) head = &started->head;
    if (auto* stopped = std::get_if<LoopStoppedEvent>(&event)) head = &stopped->head;
    const auto tid = head ? outer_tid(head->tid) : 0;
    if (tid == 0 || ends_in_future(event)) return std::nullopt;
    head->pid = pid();
    head->tid = tid;
    // Of calls for which the ring had no room. The kernel side means another thing by it.
    if (auto* dispatch = std::get_if<DispatchEvent>(&event))
        dispatch->unrecorded_ns = std::exchange(dispatch->other_blocked_ns, 0);
    return event;
}

// From its first wait for events on a thread is measured. What it did before may have been the program's start, or a
// callback.
void ShimTarget::note_first_wait(std::uint64_t at_ns)
{
    if (std::exchange(has_waited_, true) || at_ns < met_ns_ + thresholds_.slow_ns) return;
    warn(fmt::format(
        "its first thread had run for {} when it waited for events for the first time: a callback that blocked "
        "before that is not seen without root",
        format_duration(at_ns - met_ns_)));
}

void ShimTarget::on(const ShimWaitEvent& event)
{
    const auto tid = event.head.tid;
    if (tid == pid() && waits_for_events(static_cast<std::uint32_t>(event.syscall)))
        note_first_wait(event.head.time_ns);
    const auto lane = lane_of(tid);
    const WaitSite site{tid, static_cast<std::uint32_t>(event.syscall), event.ip, event.frame,
                        event.syscall == SYS_epoll_wait ? event.object : 0};
    if (!lane || idle_.size() >= WaitSites::max_sites) return;
    worker_.unwind(captured_stack(pid(), event.stack),
                   [this, site, lane, alive = std::weak_ptr(sites_)](const std::vector<Frame>& frames) {
                       if (alive.expired()) return;
                       for (const auto& verdict : sites_->judge(site, frames)) {
                           if (!verdict.idle || waits_for_events(verdict.site.syscall)) continue;
                           idle_.insert({verdict.site.tid, verdict.site.ip});
                           if (verdict.site.tid == site.tid) ring_.let_idle(*lane, verdict.site.ip, verdict.site.sp);
                       }
                   });
}

std::vector<CallEvent> ShimTarget::calls_so_far(const LoopView& loop, std::uint64_t seq)
{
    std::vector<CallEvent> calls;
    const auto lane = lane_of(loop.tid);
    if (!lane) return calls;
    ring_.read_draft(*lane, [&](const Event& event) {
        const auto own = as_own(event);
        const auto* call = own ? std::get_if<CallEvent>(&*own) : nullptr;
        if (call && call->head.tid == loop.tid && call->head.seq == seq) calls.push_back(*call);
    });
    return calls;
}

std::optional<CallEvent> ShimTarget::ongoing(const LoopView& loop, std::uint64_t seq, std::uint64_t now_ns) const
{
    const auto lane = lane_of(loop.tid);
    const auto call = lane ? ring_.ongoing(*lane, seq) : std::nullopt;
    if (!call || call->start_ns >= now_ns) return std::nullopt;
    CallEvent event;
    event.head.pid = pid();
    event.head.tid = loop.tid;
    event.head.seq = seq;
    event.start_ns = call->start_ns;
    event.end_ns = now_ns;
    event.caller = call->caller;
    event.call = call->call;
    LoopState slot = {};
    if (!read(loop, slot)) return std::nullopt;
    event.stack = copy_stack(call->registers, slot.stack_top, loops_.memory());
    // It may have returned meanwhile, and its stack be another call's.
    if (!ring_.ongoing(*lane, seq)) return std::nullopt;
    return event;
}

std::optional<DispatchBundle> ShimTarget::stall(const OverdueDispatch& overdue, DispatchBook& book,
                                                const Observe& observe)
{
    if (!process_.has_thread(static_cast<pid_t>(overdue.tid))) return std::nullopt;  // it ended in the middle of it
    const auto* loop = find_loop(overdue.tid, overdue.loop_id);
    if (!loop) return std::nullopt;
    // A call that ends meanwhile is one or the other: told, or still going on when we looked.
    const auto call = ongoing(*loop, overdue.slot.seq, overdue.now_ns);
    look(overdue.now_ns);
    drain(max_drained, observe);
    loop = find_loop(overdue.tid, overdue.loop_id);
    if (!loop || seq(*loop) != overdue.slot.seq) return std::nullopt;
    auto bundle = stall_bundle(overdue, std::nullopt, book);
    if (overdue.slot.task) bundle.closing->task = view_task(overdue.slot.task, loops_.memory());
    bundle.closing->entered_ns = bundle.closing->seen_ns = 0;  // the scheduler is not seen
    bundle.calls_missing = overdue.records_lost;
    for (auto& so_far : calls_so_far(*loop, overdue.slot.seq))
        if (is_rest(so_far))
            bundle.add_rest(so_far);
        else
            bundle.calls.push_back(std::move(so_far));
    const auto began = [](const CallEvent& known) { return known.start_ns; };
    if (call && std::ranges::find(bundle.calls, call->start_ns, began) == bundle.calls.end())
        bundle.calls.push_back(*call);
    return bundle;
}

Iterations ShimTarget::iterations_of(DispatchFacts facts)
{
    Iterations iterations;
    mark_loop(facts, *sites_);
    if (!facts.iteration || remove_after_loop(facts, *sites_)) iterations.real.push_back(std::move(facts));
    return iterations;
}

// Before the shim was told where the loop waits, one iteration seemed to go on in what are several.
bool ShimTarget::may_part(const DispatchBundle& bundle) const
{
    return std::ranges::any_of(bundle.calls, may_be_idle);
}

std::optional<std::vector<DispatchBundle>> ShimTarget::parts_of(const DispatchBundle& bundle) const
{
    const auto idles = [&](std::uint64_t caller) { return idles_at(bundle.tid, caller); };
    if (std::ranges::none_of(bundle.calls, [&](const CallEvent& call) { return idles(call.caller); }))
        return std::nullopt;
    return split_at_idle(bundle, idles, thresholds_.slow_ns);
}

ShimRing::Counts ShimTarget::counts() const
{
    auto counts = ring_.counts();
    counts.corrupt += strange_;
    return counts;
}

std::vector<int> ShimTarget::tiers() const
{
    std::vector<int> tiers = {1};
    if (carries_runtime_) tiers.push_back(3);
    return tiers;
}

}  // namespace loopwatch
