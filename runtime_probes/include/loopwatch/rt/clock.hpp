// SPDX-License-Identifier: Apache-2.0
//
// The clock of one loop: the TSC where the kernel itself trusts it (clock source tsc), else CLOCK_MONOTONIC. It starts as
// CLOCK_MONOTONIC and becomes the TSC at a poll once two anchors at least 50 ms apart tell the frequency: no busy wait. Which
// clock it is, and how its ticks become nanoseconds, stands in the slot. Changes happen in maintain() only, which the loop calls
// between two dispatches: no dispatch spans one.
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

    explicit LoopClock(lw_loop_slot& slot) noexcept : slot_(slot) {}

    static lw_u64 monotonic_ns() noexcept
    {
        timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return static_cast<lw_u64>(now.tv_sec) * 1'000'000'000 + static_cast<lw_u64>(now.tv_nsec);
    }

    // The time in ticks of the slot's clock.
    lw_u64 ticks() const noexcept
    {
#ifdef __x86_64__
        if (slot_.clock == LW_CLOCK_TSC) [[likely]]
            return __rdtsc();
#endif
        return monotonic_ns();
    }

    // Takes the first anchor; call when the loop begins to run.
    void start() noexcept;
    // Takes an anchor if one is due (50 ms after the first, then every second). True: the unit of ticks changed.
    bool maintain() noexcept;

    // A length: ticks → ns and back.
    lw_u64 to_ns(lw_u64 ticks) const noexcept;
    lw_u64 to_ticks(lw_u64 ns) const noexcept;
    // A moment: ticks → CLOCK_MONOTONIC ns.
    lw_u64 moment_ns(lw_u64 ticks) const noexcept;

private:
    lw_loop_slot& slot_;
    Anchor anchor_;
};

}  // namespace loopwatch
