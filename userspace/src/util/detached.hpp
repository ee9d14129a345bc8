// SPDX-License-Identifier: Apache-2.0
//
// What may never return, such as a read of a file whose server does not answer: on a thread that is not waited for.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <future>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "util/fd.hpp"

namespace loopwatch {

// So many such threads at a time, at most: those whose file is never read stay for good.
inline constexpr int max_detached = 64;
inline std::atomic<int> detached;  // threads that have not returned; written by those that start and those that end
inline bool may_detach_another()
{
    return detached < max_detached;
}

// The result of `task()`, which may never be ready; it may be dropped. `wake`: an eventfd that becomes readable then.
template <class Task>
auto run_detached(Task task, std::shared_ptr<const Fd> wake = {})
{
    const auto run = std::make_shared<std::packaged_task<decltype(task())()>>(std::move(task));
    auto result = run->get_future();
    ++detached;
    const auto body = [run, wake] {
        (*run)();
        --detached;
        const std::uint64_t once = 1;
        if (wake) [[maybe_unused]]
            const auto written = ::write(wake->raw(), &once, sizeof once);
    };
    try {
        std::thread(body).detach();
    } catch (const std::system_error&) {
        body();  // no thread is to be had
    }
    return result;
}

}  // namespace loopwatch
