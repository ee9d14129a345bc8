// SPDX-License-Identifier: Apache-2.0
#include "log_file.hpp"

#include <cstdint>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "raw_syscall.hpp"
#include "real_symbols.hpp"
#include "text.hpp"

namespace loopwatch::preload {
namespace {

// A daemon closes descriptors that it does not know, and opens its own files under their numbers: a line goes only
// where the first one would have gone.
struct LogFile {
    int fd = 2;
    bool known = false;
    dev_t device = 0;
    ino_t inode = 0;
    char path[256] = {};  // from the root: a daemon changes its directory, too
};
constinit LogFile log_file;
constexpr std::uint64_t log_flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

bool is_log_file(long fd)
{
    struct stat info = {};
    if (own_syscall(SYS_fstat, static_cast<std::uint64_t>(fd), word(&info)) != 0) return false;
    if (!log_file.known) {
        log_file.known = true;
        log_file.device = info.st_dev;
        log_file.inode = info.st_ino;
    }
    return log_file.device == info.st_dev && log_file.inode == info.st_ino;
}

}  // namespace

void open_log(const char* name)
{
    const long file = own_syscall(SYS_open, word(name), log_flags | O_CREAT, 0600);
    if (file < 0) return;
    log_file.fd = static_cast<int>(file);
    char link[32] = {};
    Text text(link);
    text.add("/proc/self/fd/", sizeof link);
    text.add(static_cast<std::uint64_t>(file), 10);
    const long bytes = own_syscall(SYS_readlink, word(link), word(log_file.path), sizeof log_file.path);
    if (bytes < 0 || bytes == sizeof log_file.path) log_file.path[0] = '\0';
}

void note_log()
{
    (void)is_log_file(log_file.fd);
}

// Where its descriptor is gone, the log is opened for this one line.
void write_log(const char* line, std::size_t bytes)
{
    long file = log_file.fd;
    const bool gone = !is_log_file(file);
    if (gone) file = log_file.path[0] == '/' ? own_syscall(SYS_open, word(log_file.path), log_flags) : -1;
    if (file < 0) return;
    if (!gone || is_log_file(file)) own_syscall(SYS_write, static_cast<std::uint64_t>(file), word(line), bytes);
    if (gone) own_syscall(SYS_close, static_cast<std::uint64_t>(file));
}

}  // namespace loopwatch::preload
