// SPDX-License-Identifier: Apache-2.0
//
// Descriptors beside bytes, over a real socket pair.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <vector>

#include "stack/descriptor_message.hpp"

using namespace loopwatch;

namespace {

struct Pair {
    Pair()
    {
        int ends[2];
        REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        sender = Fd(ends[0]), receiver = Fd(ends[1]);
    }
    // Bytes of the next message; what came with it is in `files`.
    ssize_t receive()
    {
        files.clear();
        return receive_message(receiver.raw(), room, MSG_DONTWAIT, [this](Fd fd) { files.push_back(std::move(fd)); });
    }
    Fd sender, receiver;
    std::array<std::uint8_t, 16> room = {};
    std::vector<Fd> files;
};

ino_t inode_of(int fd)
{
    struct stat status = {};
    REQUIRE(::fstat(fd, &status) == 0);
    return status.st_ino;
}

}  // namespace

TEST_CASE("a descriptor arrives as the same file, closed on exec, and the sender's stays open")
{
    Pair pair;
    const Fd file(::open("/proc/self/exe", O_RDONLY));
    const std::uint8_t text[] = {'a', 'b'};
    CHECK(send_message(pair.sender.raw(), text, file.raw()) == 2);
    CHECK(pair.receive() == 2);
    CHECK((pair.room[0] == 'a' && pair.room[1] == 'b'));
    REQUIRE(pair.files.size() == 1);
    CHECK(pair.files[0].raw() != file.raw());
    CHECK(inode_of(pair.files[0].raw()) == inode_of(file.raw()));
    CHECK((::fcntl(pair.files[0].raw(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("bytes without a descriptor bring none, and an empty socket is no message")
{
    Pair pair;
    const std::uint8_t text[] = {'a'};
    CHECK(send_message(pair.sender.raw(), text, -1) == 1);
    CHECK(pair.receive() == 1);
    CHECK(pair.files.empty());
    CHECK(pair.receive() == -1);
    CHECK(errno == EAGAIN);
    pair.sender.reset();
    CHECK(pair.receive() == 0);
}

TEST_CASE("to a peer that is gone nothing is sent, and no signal comes of it")
{
    Pair pair;
    pair.receiver.reset();
    const std::uint8_t text[] = {'a'};
    CHECK(send_message(pair.sender.raw(), text, 0) == -1);
    CHECK(errno == EPIPE);
}
