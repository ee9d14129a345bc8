// SPDX-License-Identifier: Apache-2.0
//
// The processes that descend from one, as far as their parents still live.
#pragma once

#include <sys/types.h>

#include <vector>

namespace loopwatch {

// Parents before their children; without `pid` itself.
std::vector<pid_t> descendants(pid_t pid);

}  // namespace loopwatch
