// SPDX-License-Identifier: Apache-2.0
#include "daemon/control_address.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

namespace loopwatch {

namespace {

constexpr const char* control_group_name = "loopwatch";
constexpr int control_backlog = 16;
constexpr mode_t folder_mode = 0755;
constexpr mode_t socket_mode = 0660;

Error control_error(const std::string& path, const std::string& why, std::string hint = {})
{
    return {ExitCode::failed, "control socket " + path + ": " + why, std::move(hint)};
}

Error control_errno(const std::string& path, const char* what)
{
    return errno_error(ExitCode::failed, "control socket " + path + ": " + what);
}

gid_t control_group()
{
    const group* const entry = ::getgrnam(control_group_name);
    return entry == nullptr ? 0 : entry->gr_gid;
}

const sockaddr* as_sockaddr(const sockaddr_un& address)
{
    return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

bool bind_to(int socket, const sockaddr_un& address)
{
    return ::bind(socket, as_sockaddr(address), sizeof address) == 0;
}

// The socket at the path is not in use: it may be removed.
Result<void> check_stale(const std::string& path, const sockaddr_un& address)
{
    struct stat status = {};
    if (::lstat(path.c_str(), &status) != 0) return errno == ENOENT ? Result<void>() : control_errno(path, "lstat");
    if (!S_ISSOCK(status.st_mode)) return control_error(path, "a file that is no socket is there", "remove it");
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!probe) return control_errno(path, "socket");
    // EAGAIN: it listens, and more wait already than it takes.
    if (::connect(probe.raw(), as_sockaddr(address), sizeof address) == 0 || errno == EAGAIN)
        return control_error(path, "another daemon listens there", "loopwatch status shows it; or use another path");
    if (errno != ECONNREFUSED && errno != ENOENT) return control_errno(path, "in use");
    return {};
}

// Between two daemons that start at once, one of which would remove the socket that the other has bound and does not
// listen on yet. Nothing but our own start holds the lock, and only for the moment.
Result<Fd> lock_beside(const std::string& path)
{
    const std::string name = path + ".lock";
    Fd lock(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!lock) return control_errno(name, "cannot be created");
    if (::flock(lock.raw(), LOCK_EX | LOCK_NB) != 0)
        return control_error(path, "another daemon is starting there", "loopwatch status");
    return lock;
}

// fchmod() before bind() sets the mode of the file that bind() makes (unix_bind, net/unix/af_unix.c), so that it is at
// no time wider. A file that has the group needs no chown(), which the unit's filter refuses.
Result<void> give_to_group(const std::string& path, gid_t group)
{
    struct stat status = {};
    if (::lstat(path.c_str(), &status) != 0) return control_errno(path, "lstat");
    const bool given =
        status.st_gid == group || ::fchownat(AT_FDCWD, path.c_str(), ~uid_t{0}, group, AT_SYMLINK_NOFOLLOW) == 0;
    if (given && ::chmod(path.c_str(), socket_mode) != 0) return control_errno(path, "chmod");
    return {};
}

Result<Fd> listen_on(const std::string& path, const sockaddr_un& address, gid_t group)
{
    auto lock = lock_beside(path);
    if (!lock) return lock.error();
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket || ::fchmod(socket.raw(), S_IRUSR | S_IWUSR) != 0) return control_errno(path, "socket");
    if (!bind_to(socket.raw(), address)) {
        if (errno != EADDRINUSE) return control_errno(path, "bind");
        if (auto stale = check_stale(path, address); !stale) return stale.error();
        ::unlink(path.c_str());
        if (!bind_to(socket.raw(), address)) return control_errno(path, "bind");
    }
    if (auto given = give_to_group(path, group); !given) return given.error();
    if (::listen(socket.raw(), control_backlog) != 0) return control_errno(path, "listen");
    return socket;
}

}  // namespace

Result<ControlAddress> ControlAddress::open(const std::string& path)
{
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return Error{ExitCode::usage, "control socket: a path of 1 to 107 bytes, not \"" + path + "\"", {}};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    const auto folder = std::filesystem::path(path).parent_path();
    if (!folder.empty() && ::mkdir(folder.c_str(), folder_mode) != 0 && errno != EEXIST)
        return control_errno(path, "its folder cannot be created");
    const auto group = control_group();
    auto socket = listen_on(path, address, group);
    if (!socket) return socket.error();
    return ControlAddress(std::move(*socket), path, group);
}

ControlAddress::ControlAddress(Fd socket, std::string path, gid_t group)
    : socket_(std::move(socket)), path_(std::move(path)), group_(group)
{
    struct stat status = {};
    if (::lstat(path_.c_str(), &status) != 0) return;
    device_ = status.st_dev;
    inode_ = status.st_ino;
}

ControlAddress::~ControlAddress()
{
    struct stat status = {};
    if (!socket_ || ::lstat(path_.c_str(), &status) != 0) return;
    if (status.st_dev == device_ && status.st_ino == inode_) ::unlink(path_.c_str());
}

bool ControlAddress::permits(int connection) const
{
    ucred peer = {};
    socklen_t size = sizeof peer;
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    if (peer.uid == 0 || peer.uid == ::geteuid() || peer.gid == group_) return true;
    size = 0;  // ERANGE: it is set to what is needed
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, nullptr, &size) == 0 || errno != ERANGE) return false;
    std::vector<gid_t> groups(size / sizeof(gid_t));
    if (::getsockopt(connection, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) return false;
    return std::ranges::count(groups, group_) != 0;
}

}  // namespace loopwatch
