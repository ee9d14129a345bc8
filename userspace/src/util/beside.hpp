// SPDX-License-Identifier: Apache-2.0
//
// What the kernel makes one wait for, on a thread of its own.
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <system_error>
#include <utility>

namespace loopwatch {

// The result of `task()`. Where no thread is to be had, it runs when the result is taken.
template <class Task>
auto beside(Task task)
{
    const auto run = [shared = std::make_shared<Task>(std::move(task))] { return (*shared)(); };
    try {
        return std::async(std::launch::async, run);
    } catch (const std::system_error&) {
        return std::async(std::launch::deferred, run);
    }
}

// May the result be taken without waiting for a thread?
bool is_ready(const auto& future)
{
    return future.wait_for(std::chrono::seconds(0)) != std::future_status::timeout;
}

}  // namespace loopwatch
