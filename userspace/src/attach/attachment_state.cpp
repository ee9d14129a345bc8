// SPDX-License-Identifier: Apache-2.0
//
// What the loops of an attached target are doing, as the engine asks.
#include <algorithm>
#include <utility>

#include "attach/attachment.hpp"
#include "collect/task_snapshot.hpp"
#include "collect/unprobed_loops.hpp"
#include "detect/iteration.hpp"
#include "detect/stall.hpp"
#include "resolve/captured_stack.hpp"

namespace loopwatch {

bool Attachment::read(const LoopView& loop, LoopState& slot) const
{
    if (loop.slot) return loops_.read(loop.slot, slot) && slot.loop_id == loop.id;
    const auto own = kernel_.unprobed().slot(loop.tid);
    if (own) slot = *own;
    return own.has_value();
}

bool Attachment::saw_begin(const LoopView& loop, const LoopState& slot) const
{
    return slot.start != 0 && (loop.slot || kernel_.unprobed().saw_begin(loop.tid, slot.seq));
}

CoroutineResume Attachment::coroutine(const LoopView& loop, std::uint64_t seq) const
{
    return loop.slot ? CoroutineResume{} : kernel_.unprobed().coroutine(loop.tid, seq);
}

bool Attachment::sleeps(const LoopView& loop) const
{
    const auto own = loop.slot ? std::nullopt : kernel_.unprobed().slot(loop.tid);
    return own && own->poll_since != 0;
}

std::optional<std::uint64_t> Attachment::seq(const LoopView& loop) const
{
    return loop.slot ? loops_.memory().object<std::uint64_t>(loop.slot) : kernel_.unprobed().seq(loop.tid);
}

std::optional<DispatchBundle> Attachment::stall(const OverdueDispatch& overdue, DispatchBook& book, const Observe&)
{
    if (!overdue.slot_address && kernel_.unprobed().undecided(overdue.tid)) return std::nullopt;
    return stall_bundle(overdue, ongoing_of(overdue, book), book);
}

// By now.
std::optional<std::uint64_t> Attachment::seq_of(const OverdueDispatch& overdue) const
{
    const auto* const loop = find_loop(overdue.tid, overdue.loop_id);
    return loop ? seq(*loop) : std::nullopt;
}

// What the scheduler's view has of it; if nothing, what is seen from outside. nullopt: it has gone on meanwhile.
std::optional<OngoingDispatch> Attachment::ongoing_of(const OverdueDispatch& overdue, DispatchBook& book) const
{
    auto ongoing = kernel_.ongoing(overdue.tid);
    if (!ongoing || ongoing->seq == overdue.slot.seq) return ongoing;
    if (auto asleep = found_asleep(overdue, ongoing->entered_ns)) {
        if (ongoing->seen_ns == 0) book.found_asleep(asleep->places.front());
        return asleep;
    }
    // It runs. It may have woken since the view was read, and slept since before the session.
    ongoing = kernel_.ongoing(overdue.tid);
    if (seq_of(overdue) != overdue.slot.seq) return std::nullopt;
    return ongoing;
}

// Where the thread sleeps, with its task and stack, if the scheduler's view has nothing of the dispatch and it sleeps
// at all. `entered_ns`: when the session began to watch its loop.
std::optional<OngoingDispatch> Attachment::found_asleep(const OverdueDispatch& overdue, std::uint64_t entered_ns) const
{
    const auto all = kernel_.unprobed().sleepers(process_.pid());
    const auto found = std::ranges::find(all, overdue.tid, &SleepingThread::tid);
    if (found == all.end() || found->state == 0) return std::nullopt;
    const auto& memory = loops_.memory();
    OngoingDispatch ongoing;
    ongoing.seq = overdue.slot.seq;
    ongoing.place = 0;
    ongoing.off = OffCpu::blocked;
    ongoing.off_ns = std::max(overdue.start_ns, entered_ns);
    ongoing.entered_ns = ongoing.seen_ns = entered_ns;
    SourceEvent place;
    place.head.pid = overdue.pid;
    place.head.tid = overdue.tid;
    place.head.loop_id = overdue.slot.loop_id;
    place.head.seq = overdue.slot.seq;
    place.head.time_ns = overdue.now_ns;
    place.syscall = found->syscall;
    place.args = found->args;
    place.state = found->state;
    place.task = view_task(overdue.slot.task, memory);
    place.stack = copy_stack(found->registers, overdue.slot.stack_top, memory);
    ongoing.places.push_back(std::move(place));
    // It may have gone on meanwhile: then this is of another dispatch, or of none.
    if (seq_of(overdue) != overdue.slot.seq) return std::nullopt;
    return ongoing;
}

std::optional<SourceEvent> Attachment::blocked_at(std::uint32_t tid) const
{
    auto ongoing = kernel_.ongoing(tid);
    if (!ongoing || ongoing->off != OffCpu::blocked || ongoing->place >= ongoing->places.size()) return std::nullopt;
    auto& place = ongoing->places[ongoing->place];
    place.block_start_ns = ongoing->off_ns;
    return std::move(place);
}

// None: what was timed was not one. A dispatch that is seen as such is what it is.
Iterations Attachment::iterations_of(DispatchFacts facts)
{
    Iterations iterations;
    if (!finder_ || !facts.iteration) {
        iterations.real.push_back(std::move(facts));
        return iterations;
    }
    mark_loop(facts, finder_->sites());
    const auto* const before = facts.seq == 1 ? finder_->before_loop(facts.subject.tid) : nullptr;
    iterations.real = part_iteration(std::move(facts), finder_->sites(), before);
    std::erase_if(iterations.real, [&](DispatchFacts& one) {
        const auto iteration = judge_iteration(one, finder_->sites());
        iterations.unclear += iteration == Iteration::unclear;
        return iteration != Iteration::real;
    });
    return iterations;
}

}  // namespace loopwatch
