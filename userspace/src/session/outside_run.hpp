// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch run` with a kernel side: the program is started with the shim in it and watched as one that runs already,
// so that the shim's names and arguments join what the kernel sees.
#pragma once

#include <string>
#include <vector>

#include "output/sink.hpp"
#include "session/session_options.hpp"

namespace loopwatch {

// The program's exit status as a shell tells it; fail_on_matched wins. Once the session is over, however it ended, so
// is the program: it is asked to, if nobody has.
Result<int> run_from_outside(SessionOptions options, const std::vector<std::string>& command, Sink& sink);

}  // namespace loopwatch
