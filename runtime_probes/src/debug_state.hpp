// SPDX-License-Identifier: Apache-2.0
//
// What debug mode is set to, and how its messages name things.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <string>

#include <loopwatch/rt/debug.hpp>

namespace loopwatch::detail {

struct DebugState {
    std::atomic<bool> on{false};                                 // set by set_debug
    std::atomic<lw_u64> slow_callback_duration_ns{100'000'000};  // asyncio's
    std::function<void(const Finding&)> on_finding;
    std::function<void(std::exception_ptr, const Finding&)> on_exception;
};

// Never destroyed: what is found when the process exits is told too.
inline DebugState& debug_state()
{
    static DebugState& state = *new DebugState;
    return state;
}

inline std::string place(const lw_location* at)
{
    return at == nullptr ? "?" : std::string(at->file) + ":" + std::to_string(at->line);
}

inline std::string named(const lw_task& task)
{
    const bool has_name = task.name != nullptr && *task.name != '\0';
    return std::string(has_name ? task.name : "task") + "#" + std::to_string(task.id);
}

}  // namespace loopwatch::detail
