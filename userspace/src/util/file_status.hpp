// SPDX-License-Identifier: Apache-2.0
//
// What the kernel knows of a file. fstat(2) asks the file's server, which may not answer.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <optional>

namespace loopwatch {

// None: not a regular file, or no descriptor.
inline std::optional<struct statx> known_status(int fd)
{
    struct statx status = {};
    constexpr unsigned wanted = STATX_TYPE | STATX_INO | STATX_SIZE | STATX_CTIME;
    if (fd < 0 || ::statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, wanted, &status) != 0 ||
        !S_ISREG(status.stx_mode))
        return std::nullopt;
    return status;
}

}  // namespace loopwatch
