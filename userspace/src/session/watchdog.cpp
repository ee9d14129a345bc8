// SPDX-License-Identifier: Apache-2.0
#include "session/watchdog.hpp"

#include <algorithm>

namespace loopwatch {

void Watchdog::tick(const Targets& targets, std::uint64_t now_ns)
{
    next_ns_ = now_ns + tick_ns;
    const auto found = look(targets, now_ns);
    idle_ticks_ = found == Activity::busy ? 0 : idle_ticks_ + 1;
    if (found == Activity::busy || (found == Activity::still && idle_ticks_ < 2)) return;
    // The flag first, then a last look: a loop that wakes in between either shows in the slot or clears the flag.
    kernel_.set_watchdog_asleep(true);
    if (look(targets, now_ns) == Activity::busy) {
        kernel_.set_watchdog_asleep(false);
        idle_ticks_ = 0;
    } else {
        next_ns_ = 0;
    }
}

// Most that wake rest again at once (a timer, ten times a second, of a server without work), and there is nothing to do
// before a dispatch is a fifth of the threshold old.
void Watchdog::wake(std::uint64_t now_ns)
{
    idle_ticks_ = 0;
    if (!next_ns_) next_ns_ = now_ns + std::clamp(options_.threshold_ns / 5, tick_ns, 5 * tick_ns);
}

Watchdog::Activity Watchdog::look(const Targets& targets, std::uint64_t now_ns)
{
    auto most = Activity::asleep;
    for (const auto& [pid, target] : targets) most = std::max(most, look(*target, now_ns));
    return most;
}

// The busiest of the target's loops. One without a slot of its own is known to sleep; one with a slot may be between
// two dispatches, and go on without a context switch. Only seq is needed each time: eight bytes a loop. The dispatch's
// own start is read once it looks old, as a look may come late.
Watchdog::Activity Watchdog::look(Attachment& attachment, std::uint64_t now_ns)
{
    auto most = Activity::asleep;
    for (const auto& loop : attachment.known_loops()) {
        const auto seq = attachment.seq(loop);
        if (!seq || loop.tid == 0) continue;
        auto& seen = seen_[loop.tid];
        const bool changed = seen.seq != *seq;
        if (changed) {
            seen.seq = *seq;
            seen.since_ns = now_ns;
            seen.told_ns = options_.threshold_ns;
            seen.sampling.reset();
        }
        if (!(*seq & 1)) {
            seen.sampling.reset();
            if (!attachment.sleeps(loop)) most = std::max(most, changed ? Activity::busy : Activity::still);
            continue;
        }
        most = Activity::busy;
        lw_loop_slot slot = {};
        std::uint64_t since = seen.since_ns;
        if (attachment.read(loop, slot) && slot.seq == *seq && slot.start) since = moment_ns(slot, slot.start);
        const auto age_ns = now_ns > since ? now_ns - since : 0;
        sample(seen, loop.tid, age_ns);
        if (age_ns < seen.told_ns || slot.seq != *seq) continue;
        while (age_ns >= seen.told_ns) seen.told_ns *= 2;
        overdue_.push_back(
            {attachment.pid(), loop.tid, since, now_ns, loop.slot, slot, attachment.coroutine(loop, *seq)});
    }
    return most;
}

void Watchdog::sample(Seen& seen, std::uint32_t tid, std::uint64_t age_ns)
{
    if (age_ns < options_.overdue_ns) return;
    if (book_.samples_of(tid, seen.seq) >= options_.samples) {
        seen.sampling.reset();
    } else if (!seen.sampling) {
        auto event = kernel_.sample(tid, options_.sample_period_ns);
        if (event)
            seen.sampling = std::move(*event);
        else
            ++failures_;
    }
}

}  // namespace loopwatch
