// SPDX-License-Identifier: Apache-2.0
//
// Lines of a file in /proc, without libc. By the three system calls with which ld.so reads libraries, so that a filter
// that was there before the program allows them.
#pragma once

#include <cstddef>
#include <cstring>

#include <fcntl.h>
#include <sys/syscall.h>

#include "raw_syscall.hpp"
#include "real_symbols.hpp"

namespace loopwatch::preload {

// Until `take(line)` is true. False: the file cannot be opened. Lines longer than any path are left out.
template <class Take>
bool read_lines(const char* path, Take take)
{
    constexpr auto here = static_cast<std::uint64_t>(AT_FDCWD);
    const long opened = own_syscall(SYS_openat, here, word(path), O_RDONLY | O_CLOEXEC);
    if (opened < 0) return false;
    const auto file = static_cast<std::uint64_t>(opened);
    char buffer[2048];
    std::size_t kept = 0;
    bool found = false, cut = false;
    while (!found) {
        const long got = own_syscall(SYS_read, file, word(buffer + kept), sizeof buffer - 1 - kept);
        if (got <= 0) break;
        kept += static_cast<std::size_t>(got);
        buffer[kept] = '\0';
        char* line = buffer;
        for (char* end = std::strchr(line, '\n'); end != nullptr && !found; end = std::strchr(line, '\n')) {
            *end = '\0';
            found = !cut && take(static_cast<const char*>(line));
            cut = false;
            line = end + 1;
        }
        kept -= static_cast<std::size_t>(line - buffer);
        if (kept == sizeof buffer - 1) {
            cut = true;
            kept = 0;
        }
        std::memmove(buffer, line, kept);
    }
    own_syscall(SYS_close, file);
    return true;
}

}  // namespace loopwatch::preload
