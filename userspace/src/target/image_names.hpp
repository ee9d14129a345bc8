// SPDX-License-Identifier: Apache-2.0
//
// What a process is called while it runs one image, and whether it still does.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace loopwatch {

struct ImageNames {
    std::string comm, exe;
    std::vector<std::string> cmdline;
};

// Does it run the image whose AT_RANDOM this is? execve(2) draws another address, as far as addresses are randomized.
// False if it has ended.
bool runs_image(pid_t pid, std::uint64_t random);

}  // namespace loopwatch
