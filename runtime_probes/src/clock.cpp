// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/clock.hpp>

#include <fstream>
#include <string>
#include <utility>

namespace loopwatch {

namespace {

// How far apart two anchors, good to about ±20 ns each, must be: for a first rate (±400 ppm), for a good one (±1 ppm),
// and to follow the frequency, which wanders by less than 1 ppm in that time.
constexpr lw_u64 first_period_ns = 100'000;
constexpr lw_u64 second_period_ns = 50'000'000;
constexpr lw_u64 period_ns = 1'000'000'000;
constexpr lw_u64 longest_period_ns = 10 * period_ns;  // beyond, the machine may have slept, which only the TSC counts
constexpr lw_u64 never = ~0ull;
constexpr lw_u32 shift = 32;

// The kernel watches the TSC of every CPU against another clock and gives it up where it errs.
bool tsc_trusted()
{
#ifdef __x86_64__
    static const bool trusted = [] {
        std::ifstream file("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        std::string name;
        return static_cast<bool>(file >> name) && name == "tsc";
    }();
    return trusted;
#else
    return false;
#endif
}

__extension__ using Wide = unsigned __int128;

lw_u64 scale(lw_u64 ticks, lw_u64 mult)
{
    return static_cast<lw_u64>((static_cast<Wide>(ticks) * mult) >> shift);
}

// Both clocks at one instant. An interrupt between the reads would spoil the pair: the closest of four tries.
LoopClock::Anchor read_anchor()
{
    LoopClock::Anchor best;
#ifdef __x86_64__
    lw_u64 closest = ~0ull;
    for (int attempt = 0; attempt < 4; ++attempt) {
        const lw_u64 before = __rdtsc();
        const lw_u64 ns = LoopClock::monotonic_ns();
        const lw_u64 gap = __rdtsc() - before;
        if (gap >= closest) continue;
        closest = gap;
        best = {before + gap / 2, ns};
    }
#endif
    return best;
}

}  // namespace

LoopClock::LoopClock(lw_loop_slot& slot) noexcept
    : slot_(slot), anchor_(read_anchor()), due_(tsc_trusted() ? anchor_.ns + first_period_ns : never)
{
}

bool LoopClock::maintain(lw_u64 now) noexcept
{
    if (now < due_) return false;
    const bool first = slot_.clock != LW_CLOCK_TSC;
    const Anchor before = std::exchange(anchor_, read_anchor());
    const lw_u64 elapsed_ns = anchor_.ns - before.ns;
    if (elapsed_ns > longest_period_ns && first) {
        due_ = anchor_.ns + first_period_ns;
        return false;
    }
    if (elapsed_ns <= longest_period_ns)
        slot_.clock_mult = static_cast<lw_u64>((static_cast<Wide>(elapsed_ns) << shift) / (anchor_.tsc - before.tsc));
    slot_.clock_shift = shift;
    slot_.anchor_ticks = anchor_.tsc;
    slot_.anchor_ns = anchor_.ns;
    slot_.clock = LW_CLOCK_TSC;
    due_ = anchor_.tsc + to_ticks(elapsed_ns < second_period_ns ? second_period_ns : period_ns);
    return first;
}

lw_u64 LoopClock::to_ns(lw_u64 ticks) const noexcept
{
    return slot_.clock == LW_CLOCK_TSC ? scale(ticks, slot_.clock_mult) : ticks;
}

lw_u64 LoopClock::to_ticks(lw_u64 ns) const noexcept
{
    return slot_.clock == LW_CLOCK_TSC ? static_cast<lw_u64>((static_cast<Wide>(ns) << shift) / slot_.clock_mult) : ns;
}

lw_u64 LoopClock::moment_ns(lw_u64 ticks) const noexcept
{
    if (slot_.clock != LW_CLOCK_TSC) return ticks;
    // A moment of the last batch may lie before an anchor taken since.
    return ticks >= slot_.anchor_ticks ? slot_.anchor_ns + scale(ticks - slot_.anchor_ticks, slot_.clock_mult)
                                       : slot_.anchor_ns - scale(slot_.anchor_ticks - ticks, slot_.clock_mult);
}

}  // namespace loopwatch
