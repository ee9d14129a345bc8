// SPDX-License-Identifier: Apache-2.0
#include "session/watchdog.hpp"

#include <algorithm>

namespace loopwatch {

void Watchdog::tick(const Targets& targets, std::uint64_t now_ns)
{
    next_ns_ = now_ns + tick_ns;
    if (look(targets, now_ns)) return;
    // The flag first, then a last look: a loop that wakes in between either shows in the slot or clears the flag.
    kernel_.set_watchdog_asleep(true);
    if (look(targets, now_ns))
        kernel_.set_watchdog_asleep(false);
    else
        next_ns_ = 0;
}

// Most that wake rest again at once (a timer, ten times a second, of a server without work), and there is nothing to do
// before a dispatch is a fifth of the threshold old.
void Watchdog::wake(std::uint64_t now_ns)
{
    if (!next_ns_) next_ns_ = now_ns + std::clamp(options_.threshold_ns / 5, tick_ns, 5 * tick_ns);
}

bool Watchdog::look(const Targets& targets, std::uint64_t now_ns)
{
    bool active = false;
    for (const auto& [pid, target] : targets) active |= look(*target, now_ns);
    return active;
}

// Whether any of the target's loops is in a dispatch. Only seq is needed each time: eight bytes a
// loop. The dispatch's own start is read once it looks old, as a look may come late.
bool Watchdog::look(Attachment& attachment, std::uint64_t now_ns)
{
    bool active = false;
    for (const auto& loop : attachment.known_loops()) {
        const auto seq = attachment.seq(loop);
        if (!seq || loop.tid == 0) continue;
        auto& seen = seen_[loop.tid];
        if (seen.seq != *seq) {
            seen.seq = *seq;
            seen.since_ns = now_ns;
            seen.told_ns = options_.threshold_ns;
            seen.sampling.reset();
        }
        if (!(*seq & 1)) {
            seen.sampling.reset();
            continue;
        }
        active = true;
        lw_loop_slot slot = {};
        std::uint64_t since = seen.since_ns;
        if (attachment.read(loop, slot) && slot.seq == *seq && slot.start) since = moment_ns(slot, slot.start);
        const auto age_ns = now_ns > since ? now_ns - since : 0;
        sample(seen, loop.tid, age_ns);
        if (age_ns < seen.told_ns || slot.seq != *seq) continue;
        while (age_ns >= seen.told_ns) seen.told_ns *= 2;
        overdue_.push_back({attachment.pid(), loop.tid, since, now_ns, loop.slot, slot});
    }
    return active;
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
