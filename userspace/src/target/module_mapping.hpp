// SPDX-License-Identifier: Apache-2.0
//
// ModuleMapping: one executable mapping of a process, with its file open.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "util/fd.hpp"

namespace loopwatch {

// One executable mapping of a target. `file` is open on /proc/PID/map_files/… or exe; "[vdso]" has none.
struct ModuleMapping {
    std::uint64_t start = 0, end = 0, file_offset = 0;
    std::string path;
    Fd file;
    std::optional<std::uint64_t> link_start = {};  // link-time address of `start`, where the file has been read
};

}  // namespace loopwatch
