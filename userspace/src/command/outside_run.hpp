// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch run` with a kernel side: the program is started with the shim in it and watched as one that runs already,
// so that the shim's names and arguments join what the kernel sees.
#pragma once

#include <string>
#include <vector>

#include "command/session_options.hpp"
#include "report/hub.hpp"

namespace loopwatch {

// The program's exit status as a shell tells it; fail_on_matched wins. A signal that ends the session is handed on, a
// session whose time is up asks the program to end (which is 0, if it does just that); else it runs to its end,
// whatever becomes of the session.
Result<int> run_from_outside(SessionOptions options, const std::vector<std::string>& command, Hub& hub);

}  // namespace loopwatch
