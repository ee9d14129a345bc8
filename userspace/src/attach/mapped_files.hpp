// SPDX-License-Identifier: Apache-2.0
//
// What a process maps, with each file open. To open a file on a server that does not answer, or to read it, never
// returns, and to learn what a process maps may take long: all of that happens beside the engine.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <future>
#include <vector>

#include "target/module_mapping.hpp"
#include "target/perf_map_file.hpp"
#include "target/process.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct MappedFiles {
    bool changed = true;  // since what was known; false: there is nothing else in here
    std::uint64_t hash = 0;
    std::vector<ModuleMapping> modules;
    std::size_t unreadable = 0;  // files that could not be opened
    PerfMapFile perf_map;
};

struct OpenedProcess {
    Process process;
    MappedFiles files;
};

// Fails as Process::open does.
Result<OpenedProcess> open_process(pid_t pid);

// The same on a thread of its own (util/detached). Never ready if the server of a file does not answer.
std::future<Result<OpenedProcess>> open_process_beside(pid_t pid);
struct KnownFiles {
    std::uint64_t hash = 0;
    bool has_perf_map = false;
};
std::future<Result<MappedFiles>> read_files_beside(pid_t pid, std::uint32_t ns_pid, KnownFiles known);
std::future<std::uint64_t> read_hash_beside(pid_t pid);  // modules_hash()

}  // namespace loopwatch
