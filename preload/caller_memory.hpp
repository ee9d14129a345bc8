// SPDX-License-Identifier: Apache-2.0
//
// Reading what the arguments of a call point to. That the call has returned proves nothing about them: connect(-1,
// wild) fails with EBADF before the kernel looks at the address, and a guest must not turn that into a crash.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <sys/syscall.h>

#include "raw_syscall.hpp"

namespace loopwatch::preload {

// Is the aligned word around this address mapped? The kernel copies the new mask before it looks at `how`: EFAULT if it
// cannot, EINVAL if only `how` is wrong, and nothing is changed either way. Abseil's AddressIsReadable asks the same.
inline bool word_is_readable(std::uint64_t address)
{
    constexpr std::uint64_t no_such_how = ~std::uint64_t{0}, mask_bytes = 8;
    return own_syscall(SYS_rt_sigprocmask, no_such_how, address & ~(mask_bytes - 1), 0, mask_bytes) == -EINVAL;
}

constexpr std::uint64_t page_bytes = 4096;  // x86-64's smallest

inline bool is_readable(const void* at, std::size_t bytes)
{
    const auto first = reinterpret_cast<std::uint64_t>(at), last = first + bytes - 1;
    if (bytes == 0 || last < first || !word_is_readable(first)) return false;
    for (std::uint64_t page = (first | (page_bytes - 1)) + 1; page - 1 < last; page += page_bytes) {
        if (!word_is_readable(page)) return false;
    }
    return true;
}

// Copies a structure out, at whatever alignment; false if it cannot be read.
template <class T>
bool copy_out(T& to, const void* from)
{
    if (!is_readable(from, sizeof to)) return false;
    std::memcpy(&to, from, sizeof to);
    return true;
}

}  // namespace loopwatch::preload
