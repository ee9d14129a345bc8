// SPDX-License-Identifier: Apache-2.0
//
// Takes from the symbol worker whatever parsing hostile files could be misused for: root's identity and capabilities,
// nearly all system calls (it is handed descriptors and opens nothing), core dumps, memory without end. Most is taken
// from the zygote already, which it is forked from.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <csignal>

namespace loopwatch {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;  // their runtimes open files, and reserve address space by the terabyte
#else
inline constexpr bool sanitized = false;
#endif

// How the zygote forks: the only way that its filter lets pass.
inline constexpr unsigned long worker_clone_flags = CLONE_PARENT | SIGCHLD;

// For good, of this process, which from here on also ends when its parent does. Descriptors that are open stay usable.
// False: an identity or a privilege could not be given up, or the parent has ended: the process must not go on. A
// kernel without seccomp is put up with: loopwatch doctor tells.
bool confine_zygote(pid_t parent);
// What is left to take from a worker that was forked from the zygote.
bool confine_worker(pid_t parent);

// Does this kernel filter system calls?
bool can_filter_system_calls();

}  // namespace loopwatch
