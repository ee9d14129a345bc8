// SPDX-License-Identifier: Apache-2.0
//
// Runtimes whose scheduler moves tasks between threads and preempts them. A thread of theirs polls and parks by turns,
// but is no event loop: a task that blocks or computes holds up no other, so nothing there is late.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "stack/frame.hpp"

namespace loopwatch {

// Whose scheduler made this wait, "Go" or "Erlang"; nullopt: none that is known. `go_modules`: paths of modules that
// Go's linker has made. Judged by stack, not by process: a C++ server may have loaded a plugin in Go, and a Go program
// may run a C library's event loop.
std::optional<std::string_view> scheduler_of(const std::vector<Frame>& stack, const std::set<std::string>& go_modules);

}  // namespace loopwatch
