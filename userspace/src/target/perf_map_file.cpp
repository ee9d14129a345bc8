// SPDX-License-Identifier: Apache-2.0
#include "target/perf_map_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>

namespace loopwatch {

PerfMapFile open_perf_map(pid_t pid, std::uint32_t ns_pid)
{
    const auto name = fmt::format("tmp/perf-{}.map", ns_pid);
    const Fd root(::open(fmt::format("/proc/{}/root", pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    open_how how = {};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_BENEATH;
    PerfMapFile found;
    found.file = Fd(static_cast<int>(::syscall(SYS_openat2, root.raw(), name.c_str(), &how, sizeof how)));
    if (!found.file) {
        if (errno == ELOOP) found.refused = fmt::format("/{} is a link: not read", name);
        return found;
    }
    struct stat status = {}, owner = {};
    const bool known =
        ::fstat(found.file.raw(), &status) == 0 && ::stat(fmt::format("/proc/{}", pid).c_str(), &owner) == 0;
    if (!known || !S_ISREG(status.st_mode))
        found.refused = fmt::format("/{} is no regular file: not read", name);
    else if (status.st_uid != 0 && status.st_uid != owner.st_uid)
        found.refused = fmt::format("/{} was written by another user (uid {}): not read", name, status.st_uid);
    if (!found.refused.empty()) found.file.reset();
    found.bytes = static_cast<std::uint64_t>(status.st_size);
    return found;
}

}  // namespace loopwatch
