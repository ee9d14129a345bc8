// SPDX-License-Identifier: Apache-2.0
//
// Names of kernel addresses, and how a wake-up came about, told from the kernel stack it was made on: by the thread
// that was running, or by an interrupt that merely hit it (a timer that expired, a packet that arrived, a signal).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "util/fd.hpp"

namespace loopwatch {

enum class WakeOrigin { unknown, thread, timer, irq, signal };

class KernelSymbols {
public:
    // Opens `list`. Without the right to see addresses every origin is unknown.
    explicit KernelSymbols(const char* list = "/proc/kallsyms");
    ~KernelSymbols();
    KernelSymbols(const KernelSymbols&) = delete;
    KernelSymbols& operator=(const KernelSymbols&) = delete;

    // Reads on for about a millisecond, and keeps only the ranges of the functions that tell. False: nothing is left. A
    // session has better to do before it starts: all of it takes 65 ms.
    bool read_some();
    // For name(): all symbols, about 15 MiB. Without it every name is empty.
    void load_all();
    std::string name(std::uint64_t address) const;
    // Reads first what has not been read yet.
    WakeOrigin origin(std::span<const std::uint64_t> kernel_stack);

private:
    struct Range {
        std::uint64_t begin, end;
        WakeOrigin origin;
    };
    void take(std::string_view line);

    Fd file_;              // until all is read
    std::string partial_;  // a line of which the rest is to come
    Range open_ = {0, 0, WakeOrigin::unknown};
    std::vector<Range> ranges_;
    void* all_ = nullptr;  // BCC's symbol cache
};

}  // namespace loopwatch
