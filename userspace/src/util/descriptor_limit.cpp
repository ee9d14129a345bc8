// SPDX-License-Identifier: Apache-2.0
#include "util/descriptor_limit.hpp"

#include <sys/resource.h>

namespace loopwatch {

namespace {

rlimit original = {};
bool raised = false;

}  // namespace

void raise_descriptor_limit()
{
    if (raised || ::getrlimit(RLIMIT_NOFILE, &original) != 0) return;
    rlimit limit = original;
    limit.rlim_cur = limit.rlim_max;
    raised = ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

void restore_descriptor_limit()
{
    if (raised) ::setrlimit(RLIMIT_NOFILE, &original);
}

}  // namespace loopwatch
