// SPDX-License-Identifier: Apache-2.0
//
// Opens separate debug files for the worker, which opens nothing itself: below /usr/lib/debug of this machine, and
// those that a program brings along, beside its own files.
#pragma once

#include <cstdint>

#include "stack/image.hpp"

namespace loopwatch {

// By build-id, else by the name that .gnu_debuglink has: below the module's directory in /usr/lib/debug, then in that
// directory and in its .debug, as the process sees them. `pid`: one that has mapped the module; 0: none is known to, so
// that nothing of it is opened. No descriptor if there is none, or the request is not well-formed. Whether it belongs
// to the module is for the caller to check.
Fd open_debug_file(const DebugFileWanted& wanted, const std::string& module_path, std::uint32_t pid);

}  // namespace loopwatch
