// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_request.hpp"

namespace loopwatch {

std::optional<ControlRequest> parse_control_request(std::string_view line)
{
    auto object = nlohmann::json::parse(line, nullptr, false);
    if (!object.is_object()) return std::nullopt;
    const auto command = object.find("command");
    if (command == object.end() || !command->is_string()) return std::nullopt;
    ControlRequest request{command->get<std::string>(), nullptr};
    object.erase(command);
    request.arguments = std::move(object);
    return request;
}

std::string control_error_line(const char* kind, const std::string& what)
{
    return control_answer_line({{"error", what}, {"kind", kind}});
}

std::string control_answer_line(const nlohmann::json& answer)
{
    return answer.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace loopwatch
