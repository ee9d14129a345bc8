// SPDX-License-Identifier: Apache-2.0
#include "daemon/notify.hpp"

#include <fmt/format.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

std::string_view variable(const char* name)
{
    const char* const value = std::getenv(name);
    return value == nullptr ? std::string_view() : std::string_view(value);
}

std::optional<std::uint64_t> whole_number(std::string_view text)
{
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
    return number;
}

// A line break would begin another assignment.
std::string status_line(std::string_view status)
{
    std::string line = "STATUS=" + std::string(status);
    std::ranges::replace_if(
        line, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
    return line;
}

}  // namespace

Notify Notify::open()
{
    Notify notify;
    const auto name = variable("NOTIFY_SOCKET");
    const bool abstract = name.starts_with('@');
    if (name.size() < 2 || name.size() >= sizeof notify.address_.sun_path || (!abstract && name[0] != '/'))
        return notify;
    notify.address_.sun_family = AF_UNIX;
    name.copy(notify.address_.sun_path, name.size());
    if (abstract) notify.address_.sun_path[0] = '\0';
    // The length of an abstract name is part of it; a path ends with its NUL.
    notify.address_size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1));
    notify.socket_ = Fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const timeval second = {1, 0};
    if (notify.socket_) ::setsockopt(notify.socket_.raw(), SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
    return notify;
}

void Notify::ready(std::string_view status) const
{
    send("READY=1\n" + status_line(status), Patience::brief);
}

void Notify::status(std::string_view status) const
{
    send(status_line(status), Patience::none);
}

void Notify::watchdog() const
{
    send("WATCHDOG=1", Patience::none);
}

// systemd 253 and later take no reload for one without the time (Type=notify-reload).
void Notify::reloading() const
{
    send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns() / 1000), Patience::brief);
}

void Notify::stopping() const
{
    send("STOPPING=1", Patience::brief);
}

std::optional<std::chrono::nanoseconds> Notify::watchdog_interval()
{
    const auto usec = whole_number(variable("WATCHDOG_USEC"));
    constexpr std::uint64_t most_usec = std::uint64_t(INT64_MAX) / 1000;
    if (!usec || *usec == 0 || *usec > most_usec) return std::nullopt;
    const auto pid = variable("WATCHDOG_PID");
    if (!pid.empty() && whole_number(pid) != static_cast<std::uint64_t>(::getpid())) return std::nullopt;
    return std::chrono::microseconds(*usec);
}

// Each is sent to the name: a manager that was started again has another socket there.
void Notify::send(const std::string& message, Patience patience) const
{
    if (!socket_) return;
    const int flags = MSG_NOSIGNAL | (patience == Patience::none ? MSG_DONTWAIT : 0);
    const auto* const address = static_cast<const sockaddr*>(static_cast<const void*>(&address_));
    (void)::sendto(socket_.raw(), message.data(), message.size(), flags, address, address_size_);
}

}  // namespace loopwatch
