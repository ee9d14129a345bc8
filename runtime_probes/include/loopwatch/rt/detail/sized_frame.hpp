// SPDX-License-Identifier: Apache-2.0
//
// How large a coroutine's frame is, which only the allocation function of its promise is told.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include <loopwatch/probe.hpp>

namespace loopwatch::detail {

#ifndef LOOPWATCH_NO_PROBES
// Of the frame that this thread has allocated and whose promise it has not made yet.
inline thread_local std::size_t fresh_frame_bytes = 0;
#endif

// A base of promises. A promise with an allocation function of its own hides this one: then nobody knows.
class SizedFrame {
public:
#ifndef LOOPWATCH_NO_PROBES
    static void* operator new(std::size_t bytes)
    {
        void* const frame = ::operator new(bytes);
        fresh_frame_bytes = bytes;
        return frame;
    }
    // Without the size, which clang does not hand over: a program of both compilers has one pair of these.
    static void operator delete(void* frame) noexcept
    {
        ::operator delete(frame);
    }

protected:
    // To be asked once, by the promise's constructor: a frame that was put into another one has no size of its own.
    static std::size_t frame_bytes() noexcept
    {
        return std::exchange(fresh_frame_bytes, 0);
    }
#else
protected:
    static std::size_t frame_bytes() noexcept
    {
        return 0;
    }
#endif
};

}  // namespace loopwatch::detail
