// SPDX-License-Identifier: Apache-2.0
//
// What Asio's handler tracking tells the runtime: the descriptor of an operation that a task is about to wait for, and
// in debug mode, descriptors that are opened and closed, and timers that wait with no task behind them.
#pragma once

#include <cstdint>

#include <loopwatch/loop_state.h>
#include <loopwatch/rt/detail/resources.hpp>

namespace loopwatch::detail {

// Of the operation that this thread is about to start; null: none.
inline thread_local constinit lw_awaited* starting_operation = nullptr;

class StartingOperation {
public:
    explicit StartingOperation(lw_awaited& operation) noexcept { starting_operation = &operation; }
    StartingOperation(const StartingOperation&) = delete;
    StartingOperation& operator=(const StartingOperation&) = delete;
    ~StartingOperation() { starting_operation = nullptr; }
};

// Asio's constants: what is compared with them is decided when its code is compiled.
constexpr bool is_timer(const char* object_type) noexcept
{
    return __builtin_strcmp(object_type, "deadline_timer") == 0;
}

// Timers, posts and resolvers have no descriptor: 0. A timer that a task waits for ends with the task at the latest.
template <class Context, class Operation>
inline void operation_created(Context& context, Operation& operation, const char* object_type, void* object,
                              std::uintmax_t descriptor, const char*) noexcept
{
    if (descriptor != 0 && starting_operation != nullptr) starting_operation->fd = static_cast<lw_s32>(descriptor);
    if (is_timer(object_type) && debugged() && starting_operation == nullptr)
        resource_opened({&context, &operation, object, "timer"});
}

template <class Operation>
inline void operation_completed(const Operation& operation) noexcept
{
    resource_closed(&operation);
}

template <class Context>
inline void operation_on(Context&, const char* object_type, void* object, std::uintmax_t, const char*) noexcept
{
    if (is_timer(object_type) && open_resources.load(std::memory_order_relaxed) != 0) object_closed(object);
}

template <class Context>
inline void descriptor_opened(Context& context, std::uintmax_t descriptor, std::uintmax_t registration) noexcept
{
    if (debugged())
        resource_opened({.context = &context,
                         .handle = reinterpret_cast<const void*>(registration),
                         .kind = nullptr,
                         .fd = static_cast<int>(descriptor)});
}

template <class Context>
inline void descriptor_closed(Context&, std::uintmax_t, std::uintmax_t registration) noexcept
{
    resource_closed(reinterpret_cast<const void*>(registration));
}

}  // namespace loopwatch::detail
