// SPDX-License-Identifier: Apache-2.0
#include "attach/stall.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "resolve/captured_stack.hpp"
#include "resolve/task_view.hpp"

namespace loopwatch {

namespace {

void wait_for_cpu(lw_dispatch& closing, std::uint64_t waited_ns)
{
    closing.runq_ns += waited_ns;
    closing.contention.longest_ns = std::max<std::uint64_t>(closing.contention.longest_ns, waited_ns);
}

// The block that the thread is in, as if it ended now.
void end_block(OngoingDispatch& ongoing, lw_dispatch& closing, std::uint64_t now_ns)
{
    auto& loop = ongoing.loop;
    const auto off_ns = std::min(loop.off_ns, now_ns);
    const auto woken_ns = loop.wake_ns ? std::clamp(loop.wake_ns, off_ns, now_ns) : now_ns;
    closing.blocked_ns += woken_ns - off_ns;
    wait_for_cpu(closing, now_ns - woken_ns);
    ++closing.blocks;
    if (loop.place >= ongoing.places.size()) {
        closing.other_blocked_ns += woken_ns - off_ns;
        return;
    }
    auto& place = ongoing.places[loop.place].head;
    ++place.count;
    place.total_ns += woken_ns - off_ns;
    place.longest_ns = std::max(place.longest_ns, woken_ns - off_ns);
    place.block_start_ns = off_ns;
    place.block_end_ns = woken_ns;
}

void add_scheduling(lw_dispatch& closing, OngoingDispatch& ongoing, std::uint64_t now_ns)
{
    const auto& loop = ongoing.loop;
    closing.blocked_ns = loop.blocked_ns;
    closing.runq_ns = loop.runq_ns;
    closing.throttled_ns = loop.throttled_ns;
    closing.contention = loop.contention;
    closing.stopped_ns = loop.stopped_ns;
    closing.other_blocked_ns = loop.other_blocked_ns;
    closing.blocks = loop.blocks;
    closing.preemptions = loop.preemptions;
    const auto off_for_ns = now_ns - std::min(loop.off_ns, now_ns);
    switch (loop.off) {
        case LW_OFF_BLOCKED: end_block(ongoing, closing, now_ns); break;
        case LW_OFF_PREEMPTED:
            wait_for_cpu(closing, off_for_ns);
            ++closing.preemptions;
            break;
        case LW_OFF_STOPPED: closing.stopped_ns += off_for_ns; break;
        default: break;
    }
}

// What is ready now has waited at most since the dispatch began; what else is waiting for the loop to poll is not seen.
void add_impact(lw_dispatch& closing, const lw_loop_slot& slot)
{
    const auto ready = static_cast<lw_u32>(slot.queued - static_cast<lw_u32>((slot.seq + 1) / 2));
    const auto elapsed_ns = closing.end_ns - closing.start_ns;
    // More can hardly be true: the target's memory is not to be trusted.
    if (ready == 0 || ready > 1u << 30) return;
    closing.impact_tasks = ready;
    closing.impact_max_ns = elapsed_ns;
    closing.impact_total_ns = elapsed_ns * ready;
}

}  // namespace

DispatchBundle stall_bundle(const OverdueDispatch& overdue, std::optional<OngoingDispatch> ongoing,
                            const DispatchBook& book)
{
    auto bundle = book.so_far(overdue.tid, overdue.slot.seq);
    bundle.in_progress = true;
    bundle.start_known = overdue.start_known;
    bundle.pid = overdue.pid;
    bundle.loop_id = overdue.slot.loop_id;
    lw_dispatch closing = {};
    closing.event.seq = bundle.seq;
    closing.start_ns = overdue.start_ns;
    closing.end_ns = overdue.now_ns;
    closing.resume = std::bit_cast<std::uint64_t>(overdue.slot.resume);
    closing.slow = 1;
    closing.coroutine = overdue.coroutine;
    closing.entered_ns = ongoing ? ongoing->loop.entered_ns : overdue.now_ns;
    closing.seen_ns = ongoing ? ongoing->loop.seen_ns : overdue.now_ns;
    if (ongoing && ongoing->loop.seq == bundle.seq) {
        add_scheduling(closing, *ongoing, overdue.now_ns);
        bundle.places = std::move(ongoing->places);
        // The sequence number is the target's: the book's blocks may be of an earlier dispatch that had the same.
        std::erase_if(bundle.long_blocks, [&](const LongBlock& block) { return block.place >= bundle.places.size(); });
    }
    add_impact(closing, overdue.slot);
    bundle.closing = closing;
    DispatchBook::place_sleep(bundle);
    return bundle;
}

std::optional<OngoingDispatch> found_asleep(const OverdueDispatch& overdue, std::uint64_t entered_ns,
                                            Attachment& target, const UnprobedLoops& threads)
{
    const auto all = threads.sleepers(static_cast<pid_t>(overdue.pid));
    const auto found = std::ranges::find(all, overdue.tid, &lw_sleeper::tid);
    if (found == all.end() || found->state == 0) return std::nullopt;
    const auto& memory = target.loops().memory();
    OngoingDispatch ongoing = {};
    ongoing.loop.seq = overdue.slot.seq;
    ongoing.loop.places = 1;
    ongoing.loop.off = LW_OFF_BLOCKED;
    ongoing.loop.off_ns = std::max(overdue.start_ns, entered_ns);
    ongoing.loop.entered_ns = ongoing.loop.seen_ns = entered_ns;
    SourceEvent place = {};
    place.head.event.pid = overdue.pid;
    place.head.event.tid = overdue.tid;
    place.head.event.loop_id = overdue.slot.loop_id;
    place.head.event.seq = overdue.slot.seq;
    place.head.event.time_ns = overdue.now_ns;
    place.head.syscall = found->syscall;
    std::copy(std::begin(found->args), std::end(found->args), place.head.args);
    place.head.state = found->state;
    place.head.task = view_task(std::bit_cast<std::uint64_t>(overdue.slot.task), memory);
    place.head.stack.registers = found->registers;
    const auto sp = found->registers.dwarf[LW_REG_RSP];
    place.stack = copy_stack(place.head.stack, sp, overdue.slot.stack_top, memory);
    ongoing.places.push_back(std::move(place));
    // It may have gone on meanwhile: then this is of another dispatch, or of none.
    const auto* loop = target.find_loop(overdue.tid, overdue.slot.loop_id);
    if (!loop || target.seq(*loop) != overdue.slot.seq) return std::nullopt;
    return ongoing;
}

}  // namespace loopwatch
