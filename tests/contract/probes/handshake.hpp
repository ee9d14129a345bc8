// SPDX-License-Identifier: Apache-2.0
//
// How a program and the script that watches it take turns: the program says where it is, the script answers with
// SIGUSR1. A semaphore would not do: the kernel raises it before the breakpoint stands.
#pragma once

#include <signal.h>

#include <cstdio>

// Says `step` and waits for the script. The first call must come before the script can know of the program.
inline void handshake(const char* step)
{
    sigset_t go;
    sigemptyset(&go);
    sigaddset(&go, SIGUSR1);
    sigprocmask(SIG_BLOCK, &go, nullptr);
    std::puts(step);
    std::fflush(stdout);
    int signal = 0;
    sigwait(&go, &signal);
}
