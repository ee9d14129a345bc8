// SPDX-License-Identifier: Apache-2.0
#include "output/output.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <optional>

#include "util/ending.hpp"

namespace loopwatch {
namespace {

// glibc has no wrapper. Kernel ≥ 5.6.
int openat2(int directory, const char* path, std::uint64_t flags, std::uint64_t mode)
{
    open_how how{};
    how.flags = flags;
    how.mode = mode;
    how.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    return static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how));
}

Error refusal(const std::string& path, const std::string& why, std::string hint)
{
    return {ExitCode::failed, "cannot write " + path + ": " + why, std::move(hint)};
}

// The user who called sudo; sudo sets SUDO_UID, and only root profits from it here.
struct Caller {
    uid_t uid;
    gid_t gid;
};

std::optional<unsigned> number_from_environment(const char* name)
{
    const char* text = std::getenv(name);
    if (text == nullptr) return std::nullopt;
    const std::string_view digits(text);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
}

std::optional<Caller> sudo_caller()
{
    if (::geteuid() != 0) return std::nullopt;
    const auto uid = number_from_environment("SUDO_UID");
    const auto gid = number_from_environment("SUDO_GID");
    if (!uid || !gid) return std::nullopt;
    return Caller{*uid, *gid};
}

// The directory part and the rest. A path without a directory is in the working directory.
std::pair<std::string, std::string> split(const std::string& path)
{
    const std::size_t slash = path.rfind('/');
    if (slash == path.npos) return {".", path};
    return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

std::string without_links(const std::string& directory, const std::string& file)
{
    char resolved[PATH_MAX];
    if (::realpath(directory.c_str(), resolved) == nullptr) return "give a path without symbolic links";
    return "give the path without symbolic links: " + std::string(resolved) + "/" + file;
}

constexpr const char* takes = "-o takes a file, or - for stdout";

bool is_regular(int fd)
{
    struct stat file {};
    return ::fstat(fd, &file) == 0 && S_ISREG(file.st_mode);
}

Result<void> check_file(int fd, int directory, const std::string& path)
{
    struct stat file {};
    struct stat parent {};
    if (::fstat(fd, &file) != 0 || ::fstat(directory, &parent) != 0) {
        return errno_error(ExitCode::failed, "cannot inspect " + path);
    }
    if (!S_ISREG(file.st_mode) && !S_ISCHR(file.st_mode) && !S_ISFIFO(file.st_mode))
        return refusal(path, "not a file, character device or FIFO", takes);
    if (file.st_nlink != 1)
        return refusal(path, "it has other names (hard links)", "remove it, or choose another file");
    const auto caller = sudo_caller();
    const bool ours = file.st_uid == ::geteuid() || (caller && file.st_uid == caller->uid);
    if ((parent.st_mode & S_IWOTH) != 0 && !ours) {
        return refusal(path, "it belongs to another user, in a directory open to all", "choose another file");
    }
    return {};
}

// Without O_TRUNC: what may not be written must not be emptied either. O_NONBLOCK: a FIFO must not hang the open.
// O_APPEND: a rotation that empties the file (copytruncate) must not leave a hole at its head.
constexpr std::uint64_t open_flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

struct OpenedFile {
    Fd fd;
    bool created = false;
};

Result<OpenedFile> open_or_create(int directory, const std::string& path, const std::string& file, mode_t mode)
{
    // O_CREAT alone would be refused on existing files in sticky directories (fs.protected_regular), and would not tell
    // whether the file is ours to give to the caller of sudo. Twice, for a file that goes or comes in between.
    for (int attempt = 0; attempt < 2; ++attempt) {
        Fd created(openat2(directory, file.c_str(), open_flags | O_CREAT | O_EXCL, mode));
        if (created) return OpenedFile{std::move(created), true};
        if (errno != EEXIST) break;
        Fd existing(openat2(directory, file.c_str(), open_flags, 0));
        if (existing) return OpenedFile{std::move(existing), false};
        if (errno != ENOENT) break;
    }
    if (errno == ELOOP) return refusal(path, "it is a symbolic link", "remove it, or choose another file");
    struct stat info {};
    if (errno == ENXIO && ::fstatat(directory, file.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISFIFO(info.st_mode))
        return refusal(path, "nothing reads the FIFO", "start its reader first");
    if (errno == ENXIO || errno == EISDIR) return refusal(path, "not a file, character device or FIFO", takes);
    return errno_error(ExitCode::failed, "cannot write " + path, "choose another file with -o");
}

// "/dev/stdout", and "/dev/fd/63", which a shell makes of >(command): links, but to what our caller has opened for us.
std::optional<int> inherited_descriptor(const std::string& path)
{
    if (path == "/dev/stdout") return STDOUT_FILENO;
    int fd = -1;
    for (const std::string_view prefix : {"/dev/fd/", "/proc/self/fd/"}) {
        if (!path.starts_with(prefix)) continue;
        const auto* const end = path.data() + path.size();
        const auto parsed = std::from_chars(path.data() + prefix.size(), end, fd);
        if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
    }
    // What is ours is closed on exec.
    const int flags = fd >= 0 ? ::fcntl(fd, F_GETFD) : -1;
    return flags >= 0 && !(flags & FD_CLOEXEC) ? std::optional(fd) : std::nullopt;
}

Result<Fd> open_file(const std::string& path, mode_t mode)
{
    const auto [directory_path, file] = split(path);
    if (file.empty()) return refusal(path, "no file name", takes);
    const Fd directory(openat2(AT_FDCWD, directory_path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
    if (!directory && errno == ELOOP) {
        return refusal(path, "its directory leads through a symbolic link", without_links(directory_path, file));
    }
    if (!directory) return errno_error(ExitCode::failed, "cannot write " + path, "does the directory exist?");

    auto opened = open_or_create(directory.raw(), path, file, mode);
    if (!opened) return opened.error();
    if (auto checked = check_file(opened->fd.raw(), directory.raw(), path); !checked) return checked.error();
    // Several may write to /dev/null, and to a pipe: whole lines do not mix.
    if (is_regular(opened->fd.raw()) && ::flock(opened->fd.raw(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return refusal(path, "another loopwatch is writing it", "choose another file with -o");
    if (const auto caller = sudo_caller(); caller && opened->created) {
        // A file that stays root's is still a report: no reason to fail.
        [[maybe_unused]] const int given = ::fchown(opened->fd.raw(), caller->uid, caller->gid);
    }
    return std::move(opened->fd);
}

constexpr int wait_ms = 50, patience_ms = 700;

// As much as a pipe or terminal that has room takes without blocking. stdout shares its flags with whoever gave it to
// us: it cannot be made non-blocking.
std::size_t writable_at_once(int fd)
{
    return is_regular(fd) ? std::numeric_limits<std::size_t>::max() : PIPE_BUF;
}

std::string hint_for(int error)
{
    switch (error) {
        case ENOSPC:
        case EDQUOT: return "free some space, or write elsewhere with -o";
        case EFBIG: return "raise the file size limit (ulimit -f)";
        case EPIPE: return "the reader of the output ended before loopwatch";
        case EBADF: return "stdout is closed; give a file with -o";
        default: return "write elsewhere with -o";
    }
}

}  // namespace

Output::Output(Fd fd, std::string name)
    : fd_(std::move(fd)), name_(std::move(name)), at_once_(writable_at_once(fd_.raw()))
{
}

Result<Output> Output::open(const std::string& path, mode_t mode)
{
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
    if (path == stderr_path) {
        Fd copy(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
        if (!copy) return errno_error(ExitCode::failed, "cannot write to stderr", hint_for(errno));
        return Output(std::move(copy), "stderr");
    }
    if (const auto inherited = inherited_descriptor(path)) {
        Fd copy(::fcntl(*inherited, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
        if (!copy) return errno_error(ExitCode::failed, "cannot write to " + path, hint_for(errno));
        return Output(std::move(copy), path);
    }
    if (path != "-") {
        auto file = open_file(path, mode);
        if (!file) return file.error();
        Output output(std::move(*file), path);
        output.keeps_last_report_ = is_regular(output.fd_.raw());
        return output;
    }
    Fd copy(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    if (!copy) return errno_error(ExitCode::failed, "cannot write to stdout", hint_for(errno));
    return Output(std::move(copy), "stdout");
}

Result<void> Output::write_lines(std::string_view lines, Patience patience)
{
    const auto written = write(lines, patience);
    return written ? Result<void>() : written.error();
}

Result<std::size_t> Output::write_some(std::string_view lines)
{
    return write(lines, Patience::none);
}

Result<std::size_t> Output::write(std::string_view lines, Patience patience)
{
    if (std::exchange(keeps_last_report_, false) && ::ftruncate(fd_.raw(), 0) != 0) return write_error();
    std::size_t written = 0;
    while (written < lines.size()) {
        if (patience == Patience::none) {
            if (!has_room()) return written;
        } else if (auto ready = await_room(patience); !ready) {
            return ready.error();
        }
        const ssize_t count = ::write(fd_.raw(), lines.data() + written, std::min(lines.size() - written, at_once_));
        if (count > 0) {
            written += static_cast<std::size_t>(count);
        } else if (count < 0 && errno != EINTR && errno != EAGAIN) {
            Error error = write_error();
            cut_back(written);
            return error;
        }
    }
    return written;
}

bool Output::has_room() const
{
    pollfd room{fd_.raw(), POLLOUT, 0};
    return ::poll(&room, 1, 0) != 0;  // an error shows when it is written to
}

Result<void> Output::await_room(Patience patience) const
{
    pollfd room{fd_.raw(), POLLOUT, 0};
    for (int waited_ms = 0; ::poll(&room, 1, wait_ms) == 0;)
        if ((patience == Patience::brief || ending_requested()) && (waited_ms += wait_ms) >= patience_ms)
            return Error{ExitCode::failed, "cannot write to " + name_ + ": its reader takes nothing",
                         "let it read until loopwatch has ended"};
    return {};
}

bool Output::is_terminal() const
{
    return ::isatty(fd_.raw()) == 1;
}

Error Output::write_error() const
{
    const int error = errno;
    return errno_error(ExitCode::failed, "cannot write to " + name_, hint_for(error));
}

void Output::cut_back(std::size_t written) const
{
    if (written == 0) return;
    struct stat file {};
    const off_t position = ::lseek(fd_.raw(), 0, SEEK_CUR);
    if (position < static_cast<off_t>(written) || ::fstat(fd_.raw(), &file) != 0 || !S_ISREG(file.st_mode)) return;
    // Somebody else's bytes behind ours stay.
    if (file.st_size != position) return;
    const off_t line_end = position - static_cast<off_t>(written);
    if (::ftruncate(fd_.raw(), line_end) == 0) ::lseek(fd_.raw(), line_end, SEEK_SET);
}

}  // namespace loopwatch
