// SPDX-License-Identifier: Apache-2.0
//
// A configuration as people and programs read it: what is in force and where each value came from, and the reference of
// all keys.
#pragma once

#include <string>
#include <vector>

#include "daemon/config.hpp"

namespace loopwatch {

// TOML that means the same, each value with its origin in a comment.
std::string effective_text(const std::vector<Setting>& settings);
// On one line: {"limits": {"cpu": {"value": "1%", "origin": "default"}}, "target": [{…}]}
std::string effective_json(const std::vector<Setting>& settings);

// Markdown: a table for each section, and one for each type of sink.
std::string config_reference();

}  // namespace loopwatch
