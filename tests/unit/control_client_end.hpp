// SPDX-License-Identifier: Apache-2.0
//
// Both ends of a control socket on one thread: clients that do what they should not, and the reactor's turns between.
#pragma once

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <string_view>

#include "util/fd.hpp"
#include "util/reactor.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

inline sockaddr_un socket_address(const std::string& path)
{
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    return address;
}

inline const sockaddr* generic(const sockaddr_un& address)
{
    return static_cast<const sockaddr*>(static_cast<const void*>(&address));
}

// Turns until it holds, 10 s at most.
template <class Condition>
bool turn_until(Reactor& reactor, Condition holds)
{
    const auto until = monotonic_ns() + 10'000'000'000;
    while (!holds()) {
        if (monotonic_ns() > until) return false;
        reactor.wait_until(monotonic_ns() + 1'000'000);
    }
    return true;
}

class ClientEnd {
public:
    explicit ClientEnd(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0))
    {
        const auto address = socket_address(path);
        connected_ = ::connect(socket_.raw(), generic(address), sizeof address) == 0;
    }

    bool connected() const { return connected_; }
    bool send(std::string_view bytes) const
    {
        return ::send(socket_.raw(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
    }
    void end_of_requests() const { ::shutdown(socket_.raw(), SHUT_WR); }
    void close() { socket_.reset(); }

    // Up to `most` bytes of what has come.
    void read(std::size_t most = 1u << 16)
    {
        std::string bytes(most, '\0');
        const auto count = ::recv(socket_.raw(), bytes.data(), most, MSG_DONTWAIT);
        if (count > 0) got_.append(bytes, 0, static_cast<std::size_t>(count));
        ended_ = ended_ || count == 0 || (count < 0 && errno != EAGAIN);
    }
    // All until the connection ends.
    std::string answer(Reactor& reactor)
    {
        const auto over = [this] {
            read();
            return ended_;
        };
        return turn_until(reactor, over) ? got_ : got_ + " (no end)";
    }
    const std::string& got() const { return got_; }
    bool ended() const { return ended_; }

private:
    Fd socket_;
    bool connected_ = false, ended_ = false;
    std::string got_;
};

}  // namespace loopwatch
