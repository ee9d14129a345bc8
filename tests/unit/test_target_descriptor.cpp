// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "target/descriptor.hpp"
#include "util/fd.hpp"

using namespace loopwatch;

namespace {

std::uint64_t inode_of(const Fd& fd)
{
    struct stat info = {};
    REQUIRE(::fstat(fd.raw(), &info) == 0);
    return info.st_ino;
}

Fd bound(int family, int type, const std::string& address, std::string& name)
{
    Fd fd(::socket(family, type | SOCK_CLOEXEC, 0));
    sockaddr_storage at = {};
    socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    at.ss_family = static_cast<sa_family_t>(family);
    void* const where = family == AF_INET ? static_cast<void*>(&reinterpret_cast<sockaddr_in&>(at).sin_addr)
                                          : &reinterpret_cast<sockaddr_in6&>(at).sin6_addr;
    REQUIRE(::inet_pton(family, address.c_str(), where) == 1);
    REQUIRE(::bind(fd.raw(), reinterpret_cast<sockaddr*>(&at), size) == 0);
    REQUIRE(::getsockname(fd.raw(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    const auto port = ntohs(reinterpret_cast<sockaddr_in&>(at).sin_port);
    name = family == AF_INET ? fmt::format("{}:{}", address, port) : fmt::format("[{}]:{}", address, port);
    return fd;
}

}  // namespace

TEST_CASE("of a socket both ends are told, as far as it has them")
{
    std::string at;
    const auto listening = bound(AF_INET, SOCK_STREAM, "127.0.0.1", at);
    REQUIRE(::listen(listening.raw(), 1) == 0);
    std::string client_at;
    const auto client = bound(AF_INET, SOCK_STREAM, "127.0.0.1", client_at);
    sockaddr_in server = {};
    socklen_t size = sizeof server;
    REQUIRE(::getsockname(listening.raw(), reinterpret_cast<sockaddr*>(&server), &size) == 0);
    REQUIRE(::connect(client.raw(), reinterpret_cast<sockaddr*>(&server), size) == 0);
    std::string udp_at;
    const auto udp = bound(AF_INET, SOCK_DGRAM, "127.0.0.1", udp_at);

    Sockets sockets(::getpid());
    CHECK(sockets.ends(inode_of(listening)).local == at);
    CHECK(sockets.ends(inode_of(listening)).peer.empty());
    CHECK(sockets.ends(inode_of(client)).local == client_at);
    CHECK(sockets.ends(inode_of(client)).peer == at);
    CHECK(sockets.ends(inode_of(udp)).local == udp_at);
    CHECK(sockets.ends(1).peer.empty());
    CHECK(socket_peer(::getpid(), inode_of(client)) == at);

    const auto told = describe_descriptor(::getpid(), client.raw());
    CHECK(told.peer == at);
    CHECK(told.local == client_at);
    CHECK(told.target == fmt::format("socket:[{}]", inode_of(client)));
}

TEST_CASE("also of the newer family, where the machine has it")
{
    if (const Fd tried(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)); !tried) return;
    sockaddr_in6 loopback = {};
    loopback.sin6_family = AF_INET6;
    loopback.sin6_addr = in6addr_loopback;
    if (const Fd tried(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        ::bind(tried.raw(), reinterpret_cast<sockaddr*>(&loopback), sizeof loopback) != 0)
        return;
    std::string at;
    const auto udp = bound(AF_INET6, SOCK_DGRAM, "::1", at);
    CHECK(Sockets(::getpid()).ends(inode_of(udp)).local == at);
}

TEST_CASE("of a socket in the file system its path")
{
    const std::string path = fmt::format("/tmp/loopwatch test {}.sock", ::getpid());
    sockaddr_un at = {};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(fd.raw(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    ::unlink(path.c_str());
    CHECK(Sockets(::getpid()).ends(inode_of(fd)).peer == "unix:" + path);
    int pair[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    const Fd one(pair[0]), other(pair[1]);
    CHECK(Sockets(::getpid()).ends(inode_of(one)).peer == "unix");
}
