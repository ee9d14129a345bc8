// SPDX-License-Identifier: Apache-2.0
//
// What a descriptor of a target is: its file, pipe or socket, and a socket's other end. Looked up when a finding is
// made, so a descriptor that was closed or reused meanwhile tells nothing or, rarely, of its successor.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace loopwatch {

struct Descriptor {
    std::uint64_t inode = 0;
    std::string target;  // "/var/lib/x.db", "fifo:/run/x", "pipe:[123]", "socket:[456]", "anon_inode:[eventpoll]";
                         // empty: unknown
    std::string peer;    // "127.0.0.1:5432", "[::1]:80", "unix:/run/x.sock"; empty: none or unknown
};

Descriptor describe_descriptor(pid_t pid, int fd);
// The same for a socket known by its inode.
std::string socket_peer(pid_t pid, std::uint64_t inode);

}  // namespace loopwatch
