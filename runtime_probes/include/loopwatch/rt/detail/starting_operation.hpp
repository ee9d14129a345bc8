// SPDX-License-Identifier: Apache-2.0
//
// The operation that a task is about to wait for, while Asio starts it: what Asio then tells of a descriptor is its
// own.
#pragma once

#include <cstdint>

#include <loopwatch/loop_state.h>

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

// Timers, posts and resolvers have no descriptor: 0.
template <class Context, class Operation>
void operation_created(Context&, Operation&, const char*, void*, std::uintmax_t descriptor, const char*) noexcept
{
    if (descriptor != 0 && starting_operation != nullptr) starting_operation->fd = static_cast<lw_s32>(descriptor);
}

}  // namespace loopwatch::detail
