// SPDX-License-Identifier: Apache-2.0
//
// The names that Kind and WokenBy carry in JSON and in text. They are part of schema loopwatch/1 and never change.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "analysis/finding.hpp"

namespace loopwatch {

std::string_view kind_name(Kind kind);
std::optional<Kind> kind_named(std::string_view name);
// All of them.
std::vector<std::string_view> kind_names();
std::string_view woken_by_name(WokenBy woken_by);

// False for what the code could not help: waiting for a CPU, being throttled, being stopped.
bool is_the_codes_doing(Kind kind);

}  // namespace loopwatch
