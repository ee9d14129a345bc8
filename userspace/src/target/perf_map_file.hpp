// SPDX-License-Identifier: Apache-2.0
//
// The file in which a runtime names the code it compiles: /tmp/perf-PID.map, where and as the target itself sees both.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "util/fd.hpp"

namespace loopwatch {

struct PerfMapFile {
    Fd file;  // none: there is none, or it is not to be trusted
    std::uint64_t bytes = 0;
    std::string refused;  // why it is not; empty: nothing wrong
};

// Only the target's user or root may have written it, and no link may lead to it.
PerfMapFile open_perf_map(pid_t pid, std::uint32_t ns_pid);

}  // namespace loopwatch
