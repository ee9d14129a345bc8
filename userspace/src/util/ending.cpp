// SPDX-License-Identifier: Apache-2.0
#include "util/ending.hpp"

#include <signal.h>

#include <atomic>

namespace loopwatch {

namespace {

std::atomic<bool> noted = false;  // written by note_ending()

}  // namespace

void note_ending()
{
    noted = true;
}

bool ending_requested()
{
    sigset_t pending;
    if (noted || ::sigpending(&pending) != 0) return noted;
    return sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1 ||
           sigismember(&pending, SIGHUP) == 1;
}

}  // namespace loopwatch
