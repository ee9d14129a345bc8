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
    bool of_image = true;  // that was asked for; false: the process had become another one, or ended
};

struct OpenedProcess {
    Process process;
    MappedFiles files;
};

inline constexpr std::uint64_t most_opening_ns = 10'000'000'000;  // then a process is watched without, or not at all

struct KnownFiles {
    std::uint64_t hash = 0;
    bool has_perf_map = false;
    std::uint64_t image = 0;  // as of runs_image(); 0: whichever it runs
};
// Fails as Process::open does.
Result<OpenedProcess> open_process(pid_t pid, std::uint64_t image = 0);

// The same on a thread of its own (util/detached). Never ready if the server of a file does not answer.
std::future<Result<OpenedProcess>> open_process_beside(pid_t pid);
std::future<Result<MappedFiles>> open_files_beside(pid_t pid, std::uint64_t image);
std::future<Result<MappedFiles>> read_files_beside(pid_t pid, std::uint32_t ns_pid, KnownFiles known);
std::future<std::uint64_t> read_hash_beside(pid_t pid);  // modules_hash()
// Why a process is not watched whose files are not open after so long. False: it was not even begun to open them.
Error not_opened(pid_t pid, bool has_begun, std::uint64_t after_ns);

}  // namespace loopwatch
