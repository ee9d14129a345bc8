// SPDX-License-Identifier: Apache-2.0
//
// Languages whose functions are no symbols of any file: what their programs have to be started with so that they write
// the names to a perf map, by the file in which their interpreter is.
#pragma once

#include <string>
#include <string_view>

namespace loopwatch {

// What cannot be seen of a process that has mapped this file and writes no perf map, and what mends it; empty: nothing.
std::string missing_names(std::string_view module_path);

}  // namespace loopwatch
