// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch run` where there is no kernel side, as any user: findings are made of what the shims' rings say.
#pragma once

#include <string>
#include <vector>

#include "command/session_options.hpp"
#include "report/hub.hpp"

namespace loopwatch {

// Until the program ends, and with follow_children what it has started. Its exit status as a shell has it;
// fail_on_matched wins. A signal that is to end us is handed on, the second one ends the session at once.
Result<int> run_from_inside(SessionOptions options, const std::vector<std::string>& command, Hub& hub);

}  // namespace loopwatch
