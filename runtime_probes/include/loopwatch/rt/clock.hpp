// SPDX-License-Identifier: Apache-2.0
//
// The clock of one loop: the TSC where the kernel itself trusts it (clock source tsc), else CLOCK_MONOTONIC. Nothing
// waits for a calibration: two anchors, an instant on both clocks, give the TSC's rate, the first taken when the loop
// is made, the second at the earliest 100 us later. Later anchors make the rate good. Which clock it is, and how its
// ticks become nanoseconds, stands in the slot. Changes happen in maintain() only, which the loop calls between two
// dispatches: no dispatch spans one.
//
// The turn to the TSC comes that early since it changes the unit of all counters, under the eyes of whoever reads them.
#pragma once

#include <ctime>

#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include <loopwatch/loop_state.h>

namespace loopwatch {

class LoopClock {
public:
    // An instant on both clocks.
    struct Anchor {
        lw_u64 tsc = 0;
        lw_u64 ns = 0;
    };

    // Takes the first anchor.
    explicit LoopClock(lw_loop_slot& slot) noexcept;

    static lw_u64 monotonic_ns() noexcept
    {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return static_cast<lw_u64>(now.tv_sec) * 1'000'000'000 + static_cast<lw_u64>(now.tv_nsec);
    }

    // The time in ticks of the slot's clock.
    lw_u64 ticks() const noexcept { return ticks(slot_.clock == LW_CLOCK_TSC); }
    // The same where the clock is known already.
    static lw_u64 ticks([[maybe_unused]] bool tsc) noexcept
    {
#ifdef __x86_64__
        if (tsc) [[likely]]
            return __rdtsc();
#endif
        return monotonic_ns();
    }

    // Takes an anchor if one is due at `now`, in ticks (after 100 us, 50 ms, then every second). True: the unit of
    // ticks changed.
    bool maintain(lw_u64 now) noexcept;

    // A length: ticks → ns and back.
    lw_u64 to_ns(lw_u64 ticks) const noexcept;
    lw_u64 to_ticks(lw_u64 ns) const noexcept;
    // A moment: ticks → CLOCK_MONOTONIC ns.
    lw_u64 moment_ns(lw_u64 ticks) const noexcept;

private:
    lw_loop_slot& slot_;
    Anchor anchor_;  // the last; zero: the TSC is not trusted
    lw_u64 due_;     // when to take the next, in ticks
};

}  // namespace loopwatch
