// SPDX-License-Identifier: Apache-2.0
//
// Labels: what the running task is about, such as a request or a trace id. Findings and `loopwatch ps` carry them.
#pragma once

#include <string_view>

namespace loopwatch {

// `label("request", id);` in a task labels it, and each task that it spawns from here on; the same key again replaces
// its value. Does nothing outside of tasks. Line breaks become spaces, and "=" in a key "-". Errors: std::bad_alloc.
void label(std::string_view key, std::string_view value);

}  // namespace loopwatch
