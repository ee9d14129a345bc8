// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstring>
#include <exception>

namespace loopwatch {

// What was thrown, as __cxa_throw was given it: all that an exception_ptr of libstdc++ or libc++ holds. Whoever saw the
// throw knows it by that address.
inline const void* object_of(const std::exception_ptr& error) noexcept
{
    static_assert(sizeof error == sizeof(const void*));
    const void* object = nullptr;
    std::memcpy(&object, &error, sizeof object);
    return object;
}

}  // namespace loopwatch
