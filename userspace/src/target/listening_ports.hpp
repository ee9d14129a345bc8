// SPDX-License-Identifier: Apache-2.0
//
// The TCP ports that a process listens on: its sockets, looked up in its network namespace's tables.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace loopwatch {

// Ascending, each once; at most 64. Costs a readlink(2) for each of its descriptors, the first 4,096 of them, and
// a read of /proc/PID/net/tcp and tcp6, the first 4 MiB of each. Empty too where its descriptors may not be read.
std::vector<std::uint16_t> listening_ports(pid_t pid);

// Of the contents of one table: the ports of those listening sockets whose inode is in `inodes`, which is sorted.
std::vector<std::uint16_t> listening_ports_in(std::string_view table, std::span<const std::uint64_t> inodes);

}  // namespace loopwatch
