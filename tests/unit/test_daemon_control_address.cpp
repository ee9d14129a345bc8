// SPDX-License-Identifier: Apache-2.0
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <optional>
#include <vector>

#include "control_client_end.hpp"
#include "daemon/control_address.hpp"
#include "temporary_directory.hpp"

using namespace loopwatch;

namespace {

constexpr uid_t other_uid = 65534;

// What it permits of a process of another user in these groups.
bool permits_user_in(const ControlAddress& address, const std::string& path, gid_t gid, std::vector<gid_t> groups)
{
    const pid_t child = ::fork();
    if (child == 0) {
        const bool is_other = ::setgroups(groups.size(), groups.data()) == 0 && ::setresgid(gid, gid, gid) == 0 &&
                              ::setresuid(other_uid, other_uid, other_uid) == 0;
        const Fd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
        const auto name = socket_address(path);
        ::_exit(is_other && ::connect(socket.raw(), generic(name), sizeof name) == 0 ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(status == 0);
    // Its identity is that of its connect(), though it has ended.
    const Fd connection(::accept4(address.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    REQUIRE(connection);
    return address.permits(connection.raw());
}

struct stat status_of(const std::string& path)
{
    struct stat status = {};
    REQUIRE(::lstat(path.c_str(), &status) == 0);
    return status;
}

}  // namespace

TEST_CASE("the socket is for its owner and one group, whatever the umask")
{
    for (const mode_t mask : {0, 0022, 0077}) {
        const TemporaryDirectory folder;
        const auto before = ::umask(mask);
        const auto address = ControlAddress::open(folder / "s");
        ::umask(before);
        REQUIRE(address);
        const auto mode = status_of(folder / "s").st_mode & 07777;
        CHECK(mode == (::geteuid() == 0 ? 0660u : mode == 0660 ? 0660u : 0600u));
    }
}

TEST_CASE("root, the daemon's user and members of the group are permitted, others are not")
{
    if (::geteuid() != 0) {
        WARN("needs root, to be another user");
        return;
    }
    const TemporaryDirectory folder;
    const auto path = folder / "s";
    const auto address = ControlAddress::open(path);
    REQUIRE(address);
    const gid_t group = status_of(path).st_gid;
    // As if its mode let everyone in: the credentials are checked by themselves.
    std::filesystem::permissions(path, std::filesystem::perms::all);
    std::filesystem::permissions(std::filesystem::path(path).parent_path(), std::filesystem::perms::all);
    CHECK_FALSE(permits_user_in(*address, path, other_uid, {}));
    CHECK_FALSE(permits_user_in(*address, path, other_uid, {group + 1, group + 2}));
    CHECK(permits_user_in(*address, path, other_uid, {group + 1, group}));
    CHECK(permits_user_in(*address, path, group, {}));
    const ClientEnd own(path);
    REQUIRE(own.connected());
    const Fd connection(::accept4(address->descriptor(), nullptr, nullptr, SOCK_CLOEXEC));
    CHECK(address->permits(connection.raw()));
}

TEST_CASE("a socket that an earlier daemon left is replaced, and the file is removed at the end")
{
    const TemporaryDirectory folder;
    const auto path = folder / "s";
    {
        const Fd left(::socket(AF_UNIX, SOCK_STREAM, 0));
        const auto name = socket_address(path);
        REQUIRE(::bind(left.raw(), generic(name), sizeof name) == 0);
    }
    {
        const auto address = ControlAddress::open(path);
        REQUIRE(address);
        CHECK(ClientEnd(path).connected());
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a second daemon is refused, and the first goes on")
{
    const TemporaryDirectory folder;
    const auto path = folder / "s";
    const auto first = ControlAddress::open(path);
    REQUIRE(first);
    {
        const auto second = ControlAddress::open(path);
        REQUIRE_FALSE(second);
        CHECK(second.error().what == "control socket " + path + ": another daemon listens there");
        CHECK_FALSE(second.error().hint.empty());
    }
    // More wait than it takes.
    std::vector<ClientEnd> waiting;
    for (int each = 0; each < 40; ++each) waiting.emplace_back(path);
    CHECK_FALSE(waiting.back().connected());
    CHECK_FALSE(ControlAddress::open(path));
    CHECK(waiting.front().connected());
}

TEST_CASE("a file that is no socket stays, and so does the socket of a daemon that came later")
{
    const TemporaryDirectory folder;
    const auto path = folder / "s";
    std::ofstream(path) << "precious";
    const auto refused = ControlAddress::open(path);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().what.find("no socket") != std::string::npos);
    CHECK(content(path) == "precious");
    std::filesystem::remove(path);
    std::optional<Result<ControlAddress>> first(ControlAddress::open(path));
    REQUIRE(*first);
    std::filesystem::remove(path);
    const auto second = ControlAddress::open(path);
    REQUIRE(second);
    first.reset();
    CHECK(ClientEnd(path).connected());
}

TEST_CASE("a folder that is missing is made; a path that is too long is refused")
{
    const TemporaryDirectory folder;
    CHECK(ControlAddress::open(folder / "run/s"));
    CHECK_FALSE(ControlAddress::open(folder / "no/folder/s"));
    const auto refused = ControlAddress::open(folder / std::string(120, 'x'));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ExitCode::usage);
}
