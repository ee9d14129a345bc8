// SPDX-License-Identifier: Apache-2.0
#include "target/descriptor.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "target/process.hpp"

namespace loopwatch {

namespace {

std::string_view take(std::string_view& text, char until)
{
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    const auto word = text.substr(0, text.find(until));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    return word;
}

template <class Number>
Number number(std::string_view text, int base)
{
    Number value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, base);
    return value;
}

}  // namespace

// "0100007F:1F90": words in host byte order, hexadecimal.
Sockets::Address Sockets::parse(std::string_view field)
{
    Address address;
    const auto colon = field.find(':');
    if (colon != 8 && colon != 32) return address;
    for (std::size_t word = 0; word < colon / 8; ++word)
        address.words[word] = number<std::uint32_t>(field.substr(word * 8, 8), 16);
    address.port = number<std::uint16_t>(field.substr(colon + 1), 16);
    return address;
}

std::string Sockets::text(const Address& address, bool is_v6)
{
    char text[INET6_ADDRSTRLEN] = {};
    if (address.port == 0 || !::inet_ntop(is_v6 ? AF_INET6 : AF_INET, address.words.data(), text, sizeof text))
        return {};
    return is_v6 ? fmt::format("[{}]:{}", text, address.port) : fmt::format("{}:{}", text, address.port);
}

// Columns: sl local remote st tx:rx tr:when retrnsmt uid timeout inode …
void Sockets::read_ip(const char* table, bool is_v6)
{
    const auto file = read_proc(pid_, std::string("net/") + table, most_bytes_).value_or("");
    std::string_view lines = file;
    take(lines, '\n');  // titles
    while (!lines.empty()) {
        auto line = take(lines, '\n');
        std::array<std::string_view, 10> column;
        for (auto& field : column) field = take(line, ' ');
        ip_.push_back({number<std::uint64_t>(column[9], 10), parse(column[1]), parse(column[2]), is_v6});
    }
}

// Columns: num refcount protocol flags type st inode path.
void Sockets::read_unix()
{
    const auto file = read_proc(pid_, "net/unix", most_bytes_).value_or("");
    std::string_view lines = file;
    take(lines, '\n');
    while (!lines.empty()) {
        auto line = take(lines, '\n');
        std::array<std::string_view, 7> column;
        for (auto& field : column) field = take(line, ' ');
        unix_.emplace_back(number<std::uint64_t>(column[6], 10), take(line, '\n'));
    }
}

Sockets::Ends Sockets::ends(std::uint64_t inode)
{
    if (!std::exchange(read_, true)) {
        for (const char* table : {"tcp", "udp"}) read_ip(table, false);
        for (const char* table : {"tcp6", "udp6"}) read_ip(table, true);
        read_unix();
        std::ranges::sort(ip_, {}, &IpSocket::inode);
        std::ranges::sort(unix_);
    }
    if (const auto found = std::ranges::lower_bound(ip_, inode, {}, &IpSocket::inode);
        found != ip_.end() && found->inode == inode)
        return {text(found->local, found->is_v6), text(found->peer, found->is_v6)};
    const auto found = std::ranges::lower_bound(unix_, inode, {}, &std::pair<std::uint64_t, std::string>::first);
    if (found == unix_.end() || found->first != inode) return {};
    return {"", found->second.empty() ? "unix" : "unix:" + found->second};
}

std::string socket_peer(pid_t pid, std::uint64_t inode)
{
    return Sockets(pid).ends(inode).peer;
}

Descriptor describe_descriptor(pid_t pid, int fd)
{
    Sockets sockets(pid);
    return describe_descriptor(pid, fd, sockets);
}

Descriptor describe_descriptor(pid_t pid, int fd, Sockets& sockets)
{
    const auto path = fmt::format("/proc/{}/fd/{}", pid, fd);
    char target[4096];
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    struct statx info = {};
    // Of what the kernel has in memory: a file server that is gone, which may be why the target hangs, is not asked.
    if (fd < 0 || length <= 0 ||
        ::statx(AT_FDCWD, path.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &info) != 0)
        return {};
    Descriptor descriptor{info.stx_ino, {target, static_cast<std::size_t>(length)}, {}, {}};
    if (S_ISFIFO(info.stx_mode) && descriptor.target.starts_with('/')) descriptor.target.insert(0, "fifo:");
    if (S_ISSOCK(info.stx_mode)) {
        auto ends = sockets.ends(info.stx_ino);
        descriptor.peer = std::move(ends.peer);
        descriptor.local = std::move(ends.local);
    }
    return descriptor;
}

}  // namespace loopwatch
