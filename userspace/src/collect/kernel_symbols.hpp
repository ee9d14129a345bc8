// SPDX-License-Identifier: Apache-2.0
//
// How a wake-up came about, told from the kernel stack it was made on: by the thread that was running, or by an interrupt that merely hit
// it (a timer that expired, a packet that arrived, a signal).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace loopwatch {

enum class WakeOrigin { unknown, thread, timer, irq, signal };

class KernelSymbols {
public:
    // Reads /proc/kallsyms once and keeps only the ranges of the functions that tell. Without the right to see addresses every origin is
    // unknown.
    KernelSymbols();
    WakeOrigin origin(std::span<const std::uint64_t> kernel_stack) const;

private:
    struct Range {
        std::uint64_t begin, end;
        WakeOrigin origin;
    };
    std::vector<Range> ranges_;
};

}  // namespace loopwatch
