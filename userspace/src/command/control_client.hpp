// SPDX-License-Identifier: Apache-2.0
//
// Asks the running daemon, on its control socket.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "util/result.hpp"

namespace loopwatch {

inline constexpr const char* default_control_socket = "/run/loopwatch/control.sock";

// Sends {"command": COMMAND} with what `arguments`, an object, has beside, and waits for the answer, 10 s at most while
// nothing comes. Fails with no_such_target if no daemon listens there, with not_permitted if it does not answer to this
// user, else with failed: the answer is an error ("error", "hint"), no JSON or above 256 MiB, or there is none.
Result<nlohmann::json> ask_daemon(const std::string& socket_path, const std::string& command, nlohmann::json arguments);

}  // namespace loopwatch
