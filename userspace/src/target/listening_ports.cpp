// SPDX-License-Identifier: Apache-2.0
#include "target/listening_ports.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "target/process.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t most_descriptors = 4096, most_ports = 64, most_table_bytes = 4u << 20;

template <class Number>
std::optional<Number> whole_number(std::string_view text, int base)
{
    Number value = 0;
    const auto* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value, base);
    return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

// Sorted.
std::vector<std::uint64_t> socket_inodes(pid_t pid)
{
    std::vector<std::uint64_t> inodes;
    const auto directory = fmt::format("/proc/{}/fd", pid);
    const std::unique_ptr<DIR, int (*)(DIR*)> descriptors(::opendir(directory.c_str()), ::closedir);
    for (std::size_t seen = 0; descriptors && seen < most_descriptors; ++seen) {
        const dirent* const entry = ::readdir(descriptors.get());
        if (entry == nullptr) break;
        char target[64];
        const auto length = ::readlinkat(::dirfd(descriptors.get()), entry->d_name, target, sizeof target);
        const std::string_view text(target, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
        if (!text.starts_with("socket:[") || !text.ends_with(']')) continue;
        if (const auto inode = whole_number<std::uint64_t>(text.substr(8, text.size() - 9), 10))
            inodes.push_back(*inode);
    }
    std::ranges::sort(inodes);
    return inodes;
}

// Columns: sl local remote st tx:rx tr:when retrnsmt uid timeout inode …
std::optional<std::uint16_t> listening_port(std::string_view line, std::span<const std::uint64_t> inodes)
{
    std::array<std::string_view, 10> columns;
    for (auto& column : columns) {
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        column = line.substr(0, line.find(' '));
        line.remove_prefix(column.size());
    }
    constexpr std::string_view listen_state = "0A";  // TCP_LISTEN, include/net/tcp_states.h
    const auto inode = whole_number<std::uint64_t>(columns[9], 10);
    if (columns[3] != listen_state || !inode || !std::ranges::binary_search(inodes, *inode)) return std::nullopt;
    const auto colon = columns[1].rfind(':');
    if (colon == columns[1].npos) return std::nullopt;
    return whole_number<std::uint16_t>(columns[1].substr(colon + 1), 16);
}

}  // namespace

std::vector<std::uint16_t> listening_ports_in(std::string_view table, std::span<const std::uint64_t> inodes)
{
    std::vector<std::uint16_t> ports;
    while (!table.empty()) {
        const auto line = table.substr(0, table.find('\n'));
        table.remove_prefix(std::min(line.size() + 1, table.size()));
        const auto port = listening_port(line, inodes);
        if (port && std::ranges::find(ports, *port) == ports.end() && ports.size() < most_ports) ports.push_back(*port);
    }
    std::ranges::sort(ports);
    return ports;
}

std::vector<std::uint16_t> listening_ports(pid_t pid)
{
    const auto inodes = socket_inodes(pid);
    if (inodes.empty()) return {};
    std::vector<std::uint16_t> ports;
    for (const char* table : {"net/tcp", "net/tcp6"}) {
        const auto more = listening_ports_in(read_proc(pid, table, most_table_bytes).value_or(""), inodes);
        ports.insert(ports.end(), more.begin(), more.end());
    }
    std::ranges::sort(ports);
    const auto repeated = std::ranges::unique(ports);
    ports.erase(repeated.begin(), repeated.end());
    ports.resize(std::min(ports.size(), most_ports));
    return ports;
}

}  // namespace loopwatch
