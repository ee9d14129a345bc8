// SPDX-License-Identifier: Apache-2.0
//
// A JSON object for people: "key: value" lines, and a table for each array of objects.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace loopwatch {

// Objects within are "outer.inner: value"; an empty value is "-". A table has the keys of all its rows as columns,
// below a line with its own key and the count of its rows; what is not an object in it has the column "value". Strings
// cannot harm a terminal.
std::string json_as_text(const nlohmann::json& object);

}  // namespace loopwatch
