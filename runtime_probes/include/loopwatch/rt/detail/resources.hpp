// SPDX-License-Identifier: Apache-2.0
//
// What is open on each loop, in debug mode: what still is when the loop closes is a leak. Told by whoever opens and
// closes: Asio's handler tracking, the executor. Any thread.
#pragma once

#include <atomic>
#include <cstddef>

#include <loopwatch/loop_state.h>
#include <loopwatch/rt/detail/findings.hpp>

namespace loopwatch {
class Loop;
}

namespace loopwatch::detail {

// Whose address tells one loop's resources from another's.
const void* context_of(Loop& loop) noexcept;

inline constinit std::atomic<std::size_t> open_resources{0};  // known of

struct OpenResource {
    const void* context;           // of its loop
    const void* handle;            // that tells it from others while it is open
    const void* object = nullptr;  // it belongs to, if that can close it
    const char* kind;              // null: as its descriptor tells
    int fd = -1;
};

// Opened here and now by the task that runs. Other contexts close unseen, and without memory for it, it is not known
// of.
void resource_opened(const OpenResource& resource) noexcept;
// Does nothing if it is not known.
void handle_closed(const void* handle) noexcept;
void object_closed(const void* object) noexcept;
// The loop closes: tells of each that is left, and forgets it.
void tell_leaks(const lw_loop_slot& slot, const void* context) noexcept;

inline void resource_closed(const void* handle) noexcept
{
    if (open_resources.load(std::memory_order_relaxed) != 0) [[unlikely]]
        handle_closed(handle);
}

}  // namespace loopwatch::detail
