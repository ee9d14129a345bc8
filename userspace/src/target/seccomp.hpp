// SPDX-License-Identifier: Apache-2.0
//
// Filters of system calls: whether one lets the shim make its own is not written anywhere, so that it is tried.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace loopwatch {

// Of /proc/PID/status; 0: none. Before Linux 5.9 it does not say how many: 1, then.
unsigned parse_seccomp_filters(std::string_view status);
// Under which this process runs, and everything that it starts.
unsigned own_seccomp_filters();

// How many of them are known to end nobody for a system call of the shim's: all that we run under, if a child of ours
// that made each lived on, or as many as LOOPWATCH_FILTERS says.
unsigned harmless_seccomp_filters();

// Why the shim will make no system call in what we start; empty: it will.
std::string why_shim_is_mute();

}  // namespace loopwatch
