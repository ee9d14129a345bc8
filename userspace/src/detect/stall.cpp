// SPDX-License-Identifier: Apache-2.0
#include "detect/stall.hpp"

#include <algorithm>
#include <utility>

namespace loopwatch {

namespace {

void wait_for_cpu(DispatchEvent& closing, std::uint64_t waited_ns)
{
    closing.runq_ns += waited_ns;
    closing.contention.longest_ns = std::max<std::uint64_t>(closing.contention.longest_ns, waited_ns);
}

// The block that the thread is in, as if it ended now.
void end_block(OngoingDispatch& ongoing, DispatchEvent& closing, std::uint64_t now_ns)
{
    const auto off_ns = std::min(ongoing.off_ns, now_ns);
    const auto woken_ns = ongoing.wake_ns ? std::clamp(ongoing.wake_ns, off_ns, now_ns) : now_ns;
    closing.blocked_ns += woken_ns - off_ns;
    wait_for_cpu(closing, now_ns - woken_ns);
    ++closing.blocks;
    if (ongoing.place >= ongoing.places.size()) {
        closing.other_blocked_ns += woken_ns - off_ns;
        return;
    }
    auto& place = ongoing.places[ongoing.place];
    ++place.count;
    place.total_ns += woken_ns - off_ns;
    place.longest_ns = std::max(place.longest_ns, woken_ns - off_ns);
    place.block_start_ns = off_ns;
    place.block_end_ns = woken_ns;
}

void add_scheduling(DispatchEvent& closing, OngoingDispatch& ongoing, std::uint64_t now_ns)
{
    closing.blocked_ns = ongoing.blocked_ns;
    closing.runq_ns = ongoing.runq_ns;
    closing.throttled_ns = ongoing.throttled_ns;
    closing.contention = ongoing.contention;
    closing.stopped_ns = ongoing.stopped_ns;
    closing.other_blocked_ns = ongoing.other_blocked_ns;
    closing.blocks = ongoing.blocks;
    closing.preemptions = ongoing.preemptions;
    const auto off_for_ns = now_ns - std::min(ongoing.off_ns, now_ns);
    switch (ongoing.off) {
        case OffCpu::blocked: end_block(ongoing, closing, now_ns); break;
        case OffCpu::preempted:
            wait_for_cpu(closing, off_for_ns);
            ++closing.preemptions;
            break;
        case OffCpu::stopped: closing.stopped_ns += off_for_ns; break;
        case OffCpu::running:
        case OffCpu::idle: break;
    }
}

// What is ready now has waited at most since the dispatch began; what else is waiting for the loop to poll is not seen.
void add_impact(DispatchEvent& closing, const LoopState& slot)
{
    const auto ready = static_cast<std::uint32_t>(slot.queued - static_cast<std::uint32_t>((slot.seq + 1) / 2));
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
    DispatchEvent closing;
    closing.head.seq = bundle.seq;
    closing.start_ns = overdue.start_ns;
    closing.end_ns = overdue.now_ns;
    closing.resume = overdue.slot.resume;
    closing.slow = true;
    closing.coroutine = overdue.coroutine;
    closing.entered_ns = ongoing ? ongoing->entered_ns : overdue.now_ns;
    closing.seen_ns = ongoing ? ongoing->seen_ns : overdue.now_ns;
    if (ongoing && ongoing->seq == bundle.seq) {
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

}  // namespace loopwatch
