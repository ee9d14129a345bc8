// SPDX-License-Identifier: Apache-2.0
//
// LoopTable: the kernel side's table of loop threads, as the collector writes it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include <lw_state.h>

struct loopwatch_bpf;

namespace loopwatch {

class LoopTable {
public:
    explicit LoopTable(loopwatch_bpf& skeleton) : skeleton_(skeleton) {}

    // Enters a thread, watched from now on; its entered_ns and buffer are set here. `prepare` is told which buffer it
    // gets, before the kernel side sees it. Returns that, or nullopt: it was known, or the table is full, which is
    // counted as a loss.
    std::optional<std::uint32_t> enter(std::uint32_t tid, lw_loop loop,
                                       const std::function<void(std::uint32_t buffer)>& prepare = {});

    // Of a thread that had ended before it was entered.
    void withdraw(std::uint32_t pid, std::uint32_t tid) { drop(pid, tid); }
    // All that the kernel side keeps of a process, which may be alive.
    void dismiss(std::uint32_t pid) { drop(pid, 0); }

    // Of so many processes each can enter a few loops, whatever the others do.
    void share_among(std::size_t processes);
    void count_loss(std::uint32_t loss);

private:
    void drop(std::uint32_t pid, std::uint32_t tid);
    void count(std::uint32_t pid, std::uint32_t tid, int change);

    loopwatch_bpf& skeleton_;
};

}  // namespace loopwatch
