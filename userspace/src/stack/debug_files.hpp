// SPDX-License-Identifier: Apache-2.0
//
// Opens separate debug files for the worker, which opens nothing itself. Only below /usr/lib/debug of this machine:
// what the target keeps elsewhere could be a link to anything that root can read.
#pragma once

#include "stack/image.hpp"

namespace loopwatch {

// By build-id, else by name below the directory of the module. No descriptor if there is none, or the request is not
// well-formed.
Fd open_debug_file(const DebugFileWanted& wanted, const std::string& module_path);

}  // namespace loopwatch
