// SPDX-License-Identifier: Apache-2.0
//
// What a descriptor of a target is: its file, pipe or socket, and a socket's other end. Looked up when a finding is
// made, so a descriptor that was closed or reused meanwhile tells nothing or, rarely, of its successor.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace loopwatch {

// The sockets of a target's network namespace, as of the first question: who asks for each of 10,000 connections is not
// to read 10,000 lines each time. The tables are read as far as `most_bytes`.
class Sockets {
public:
    explicit Sockets(pid_t pid, std::size_t most_bytes = 1 << 20) : pid_(pid), most_bytes_(most_bytes) {}

    struct Ends {
        std::string local, peer;  // "127.0.0.1:5432", "[::1]:80", "unix:/run/x.sock"; empty: none or unknown
    };
    Ends ends(std::uint64_t inode);

private:
    struct Address {
        std::array<std::uint32_t, 4> words = {};
        std::uint16_t port = 0;
    };
    struct IpSocket {
        std::uint64_t inode = 0;
        Address local, peer;
        bool is_v6 = false;
    };
    void read_ip(const char* table, bool is_v6);
    void read_unix();
    static Address parse(std::string_view field);
    static std::string text(const Address& address, bool is_v6);

    pid_t pid_;
    std::size_t most_bytes_;
    bool read_ = false;
    std::vector<IpSocket> ip_;                                 // by inode
    std::vector<std::pair<std::uint64_t, std::string>> unix_;  // by inode
};

struct Descriptor {
    std::uint64_t inode = 0;
    std::string target;       // "/var/lib/x.db", "fifo:/run/x", "pipe:[123]", "socket:[456]", "anon_inode:[eventpoll]";
                              // empty: unknown
    std::string peer, local;  // of a socket, as above
};

Descriptor describe_descriptor(pid_t pid, int fd);
Descriptor describe_descriptor(pid_t pid, int fd, Sockets& sockets);
// The same for a socket known by its inode.
std::string socket_peer(pid_t pid, std::uint64_t inode);

}  // namespace loopwatch
