// SPDX-License-Identifier: Apache-2.0
#include "target/descriptor.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <sstream>

#include "target/process.hpp"

namespace loopwatch {

namespace {

// "0100007F:1F90" of /proc/PID/net/tcp: words in host byte order, hexadecimal.
std::string ip_address(const std::string& field)
{
    const auto colon = field.find(':');
    if (colon != 8 && colon != 32) return {};
    std::array<std::uint32_t, 4> words = {};
    unsigned port = 0;
    for (std::size_t word = 0; word < colon / 8; ++word)
        if (std::sscanf(field.substr(word * 8, 8).c_str(), "%8x", &words[word]) != 1) return {};
    if (std::sscanf(field.c_str() + colon + 1, "%4x", &port) != 1 || port == 0) return {};
    char text[INET6_ADDRSTRLEN] = {};
    const int family = colon == 8 ? AF_INET : AF_INET6;
    if (!::inet_ntop(family, words.data(), text, sizeof text)) return {};
    return family == AF_INET ? fmt::format("{}:{}", text, port) : fmt::format("[{}]:{}", text, port);
}

// Columns: sl local remote st tx:rx tr:when retrnsmt uid timeout inode …
std::string ip_peer(pid_t pid, const std::string& table, const std::string& inode)
{
    std::istringstream lines(read_proc(pid, "net/" + table).value_or(""));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        std::array<std::string, 10> column;
        for (auto& field : column) fields >> field;
        if (column[9] == inode) return ip_address(column[2]);
    }
    return {};
}

// Columns: num refcount protocol flags type st inode path.
std::string unix_path(pid_t pid, const std::string& inode)
{
    std::istringstream lines(read_proc(pid, "net/unix").value_or(""));
    for (std::string line; std::getline(lines, line);) {
        std::istringstream fields(line);
        std::array<std::string, 7> column;
        for (auto& field : column) fields >> field;
        std::string path;
        if (column[6] == inode) return (fields >> path) ? "unix:" + path : "unix";
    }
    return {};
}

}  // namespace

std::string socket_peer(pid_t pid, std::uint64_t inode)
{
    const auto text = std::to_string(inode);
    for (const char* table : {"tcp", "tcp6", "udp", "udp6"})
        if (auto peer = ip_peer(pid, table, text); !peer.empty()) return peer;
    return unix_path(pid, text);
}

Descriptor describe_descriptor(pid_t pid, int fd)
{
    const auto path = fmt::format("/proc/{}/fd/{}", pid, fd);
    char target[4096];
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    struct stat info = {};
    if (fd < 0 || length <= 0 || ::stat(path.c_str(), &info) != 0) return {};
    Descriptor descriptor{info.st_ino, {target, static_cast<std::size_t>(length)}, {}};
    if (S_ISFIFO(info.st_mode) && descriptor.target.starts_with('/')) descriptor.target.insert(0, "fifo:");
    if (S_ISSOCK(info.st_mode)) descriptor.peer = socket_peer(pid, info.st_ino);
    return descriptor;
}

}  // namespace loopwatch
