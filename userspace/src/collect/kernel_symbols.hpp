// SPDX-License-Identifier: Apache-2.0
//
// Names of kernel addresses, and how a wake-up came about, told from the kernel stack it was made on: by the thread
// that was running, or by an interrupt that merely hit it (a timer that expired, a packet that arrived, a signal).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace loopwatch {

enum class WakeOrigin { unknown, thread, timer, irq, signal };

class KernelSymbols {
public:
    // Reads /proc/kallsyms once and keeps only the ranges of the functions that tell. Without the right to see
    // addresses every origin is unknown.
    KernelSymbols();
    ~KernelSymbols();
    KernelSymbols(const KernelSymbols&) = delete;
    KernelSymbols& operator=(const KernelSymbols&) = delete;

    // For name(): all symbols, about 15 MiB. Without it every name is empty.
    void load_all();
    std::string name(std::uint64_t address) const;
    WakeOrigin origin(std::span<const std::uint64_t> kernel_stack) const;

private:
    struct Range {
        std::uint64_t begin, end;
        WakeOrigin origin;
    };
    std::vector<Range> ranges_;
    void* all_ = nullptr;  // BCC's symbol cache
};

}  // namespace loopwatch
