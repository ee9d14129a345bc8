// SPDX-License-Identifier: Apache-2.0
//
// A thread that sleeps, as /proc/PID/task/TID/syscall tells: for one that went to sleep before anybody watched.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace loopwatch {

struct Sleeper {
    std::int64_t syscall = -1;  // -1: in none (a page fault)
    std::uint64_t args[6] = {};
    std::uint64_t sp = 0, pc = 0;
};

// "35 0x7ffd… 0x0 … SP PC" or "-1 SP PC"; nullopt for "running" and for what the kernel would not write.
std::optional<Sleeper> parse_sleeper(std::string_view text);
// nullopt: it runs, it is gone, or we may not look.
std::optional<Sleeper> sleeper(pid_t pid, std::uint32_t tid);

}  // namespace loopwatch
