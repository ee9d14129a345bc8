// SPDX-License-Identifier: Apache-2.0
#include "analysis/task_scheduler.hpp"

#include <algorithm>

namespace loopwatch {

namespace {

// Erlang's emulator exports these: also a stripped one has the names.
constexpr std::string_view erlang_functions[] = {"erts_schedule", "erts_check_io", "erts_sys_main_thread"};

bool is_erlangs(const Frame& frame)
{
    return std::ranges::find(erlang_functions, frame.function) != std::end(erlang_functions);
}

}  // namespace

std::optional<std::string_view> scheduler_of(const std::vector<Frame>& stack, const std::set<std::string>& go_modules)
{
    // Go makes its system calls itself; what waits in libc is C code that a Go program calls.
    if (!stack.empty() && go_modules.contains(stack.front().module)) return "Go";
    if (std::ranges::any_of(stack, is_erlangs)) return "Erlang";
    return std::nullopt;
}

}  // namespace loopwatch
