// SPDX-License-Identifier: Apache-2.0
//
// What a client of the control socket sent, and the answers to what is no request.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace loopwatch {

struct ControlRequest {
    std::string command;
    nlohmann::json arguments;  // the rest of the object
};

// None: no JSON object with a string "command".
std::optional<ControlRequest> parse_control_request(std::string_view line);

// {"error": WHAT, "kind": KIND}; kinds: "not_permitted", "busy", "malformed", "timed_out". One line, with its end.
std::string control_error_line(const char* kind, const std::string& what);
// One line, whatever bytes its strings have: those that are no UTF-8 become U+FFFD.
std::string control_answer_line(const nlohmann::json& answer);

}  // namespace loopwatch
