// SPDX-License-Identifier: Apache-2.0
//
// Programs that restrict their own system calls with seccomp, often so that any other one ends them. Their filter knows
// nothing of us: once it is asked for, the shim makes no system call of its own. Measured is what can be without: the
// calls of loops that have a lane, with their times and who made them.
//
// A filter that was there before the program (systemd's SystemCallFilter=, a container's) may end it just so, or only
// refuse calls; the kernel does not tell which. So the shim makes no call of its own from the start on, unless it is
// known to refuse: LOOPWATCH_FILTERS says so, or it is that of a container which docker or podman has made.
#pragma once

#include <cstdint>

#include <sys/syscall.h>

namespace loopwatch::preload {

constexpr unsigned unknown_filters = ~0u;

// At the start, before any other system call of ours: how many filters are there of which nobody knows that they only
// refuse; 0: none, else `sandboxed` is set.
unsigned meet_filters();

void enter_sandbox();

// About to make a system call: does it restrict this process? With a null pointer for a filter it only asks what the
// kernel knows (libseccomp does).
template <class... Args>
void note_sandbox(long number, std::uint64_t a, std::uint64_t b, std::uint64_t c, Args...)
{
    constexpr std::uint64_t set_seccomp = 22, mode_strict = 1, set_strict = 0, set_filter = 1;
    const bool by_prctl = number == SYS_prctl && a == set_seccomp && (b == mode_strict || c != 0);
    const bool by_seccomp = number == SYS_seccomp && (a == set_strict || (a == set_filter && c != 0));
    if (by_prctl || by_seccomp) [[unlikely]]
        enter_sandbox();
}

// Of the rows that make no system call by its number.
template <class... Args>
void note_sandbox(Args...)
{
}

}  // namespace loopwatch::preload
