// SPDX-License-Identifier: Apache-2.0
//
// kill(2) of one process, never of many: the pid of a worker that does not run is -1, which is all processes of the
// machine.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cerrno>

namespace loopwatch {

inline int send_signal(pid_t pid, int number)
{
    if (pid > 0) return ::kill(pid, number);
    errno = ESRCH;
    return -1;
}

}  // namespace loopwatch
