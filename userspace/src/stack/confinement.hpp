// SPDX-License-Identifier: Apache-2.0
//
// Takes from the symbol worker whatever parsing hostile files could be misused for: root's identity and capabilities,
// nearly all system calls (it is handed descriptors and opens nothing), core dumps, memory without end.
#pragma once

#include <sys/types.h>

namespace loopwatch {

// For good, of this process, which from here on also ends when its parent does. Descriptors that are open stay usable.
// False: an identity or a privilege could not be given up, or the parent has ended: the process must not go on. A
// kernel without seccomp is put up with: loopwatch doctor tells.
bool confine(pid_t parent);

// Does this kernel filter system calls?
bool can_filter_system_calls();

}  // namespace loopwatch
