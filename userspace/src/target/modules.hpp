// SPDX-License-Identifier: Apache-2.0
//
// The files whose code a process maps, each of them open.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "target/module_mapping.hpp"
#include "util/result.hpp"

namespace loopwatch {

// What a process maps, by now.
struct MappedModules {
    bool changed = true;  // since `hash` was as the caller knows it; false: there are no modules in here
    std::uint64_t hash = 0;
    std::vector<ModuleMapping> modules;
    std::size_t unreadable = 0;  // files that could not be opened, and are left out
};
// `known_hash`: of modules that need not be opened again; 0: none. Does not return as long as a file's server does not
// answer.
Result<MappedModules> read_modules(pid_t pid, std::uint64_t known_hash = 0);

// Changes whenever the process loads or unloads a module; 0: it has ended.
std::uint64_t modules_hash(pid_t pid);

}  // namespace loopwatch
