// SPDX-License-Identifier: Apache-2.0
//
// A server that forks workers while a probe is attached. When told to, hits the site and forks, 100 times; each child
// hits it too. Prints how many ended well.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <loopwatch/probe.hpp>

#include "handshake.hpp"

static void hit()
{
    for (std::uint64_t i = 1; i <= 10; i++) loopwatch::probe::dispatch_begin(i, i + 1, i + 2);
}

int main()
{
    handshake("ready");
    int lived = 0, killed_by = 0;
    for (int i = 0; i < 100; i++) {
        hit();
        const pid_t child = fork();
        if (child == 0) {
            hit();
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) killed_by = WTERMSIG(status);
        lived += WIFEXITED(status);
    }
    std::printf("%d of 100 children lived, signal %d\n", lived, killed_by);
    handshake("finished");
}
