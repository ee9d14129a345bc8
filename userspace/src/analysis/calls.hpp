// SPDX-License-Identifier: Apache-2.0
//
// What is known of the calls that block (calls.def): the kind of a wait, decided by the call, by what its descriptor
// leads to, by the state the thread slept in and by its arguments; and the arguments a person wants to read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "analysis/facts.hpp"

namespace loopwatch {

enum class CallRule { sleep, file, descriptor, lock, file_lock, pipe, network, dns, process, wait, io_uring, other };

struct CallRow {
    std::int64_t number = -1;  // -1: a libc function, no system call
    std::string_view name;
    CallRule rule = CallRule::other;
    std::string_view args;  // letters of calls.def
};

using Args = std::vector<std::pair<std::string, std::string>>;

// nullptr: not in the table.
const CallRow* find_syscall(std::int64_t number);
// Also finds glibc's other names of a call: __read_chk, open64, __GI_fsync, _IO_fwrite, pthread_cond_wait@GLIBC_2.3.2.
const CallRow* find_call(std::string_view name);
// The name a person knows a libc symbol by ("__read_chk" → "read"); names outside of the table lose only what glibc put
// around them. Empty for what no C program calls by name: C++ names, the start of a thread or a program.
std::string canonical_call(std::string_view symbol);

// Does it wake others, and sleeps only until those that have been woken have run? glibc's pthread_cond_signal waits for
// earlier waiters to leave before it lets new ones in: where it does for long, they wait for a CPU (42 times for 3 to 9
// ms in 15 s of a node whose 4 workers shared 2 CPUs with 3 busy programs).
bool only_wakes(std::string_view call);

// BlockFacts::syscall of a wait whose place was not kept: neither a page fault (-1) nor a call.
inline constexpr std::int64_t unknown_syscall = -2;

// Position of the path among a system call's arguments, -1: it has none.
int path_argument(std::int64_t syscall);

// Which argument of a system call is a descriptor to look up, -1: none.
int fd_argument(std::int64_t syscall);

// What a wait on a descriptor is; `target` as BlockFacts::fd_target.
Kind descriptor_kind(std::string_view target, std::uint32_t task_state);
Kind kind_of(const BlockFacts& block);
Kind kind_of(const CallFacts& call);

Args args_of(const BlockFacts& block);
Args args_of(const CallFacts& call);

}  // namespace loopwatch
