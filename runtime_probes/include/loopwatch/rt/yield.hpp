// SPDX-License-Identifier: Apache-2.0
//
// Letting the others run.
#pragma once

#include <coroutine>

#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch {

namespace detail {

class [[nodiscard]] YieldAwaiter {
public:
    using loop_awaitable = void;
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle) noexcept
    {
        handle.promise().task().requeue(handle);
    }
    void await_resume() const noexcept {}
};

}  // namespace detail

// Puts the task at the end of the ready queue.
inline detail::YieldAwaiter yield() noexcept
{
    return {};
}

}  // namespace loopwatch
