// SPDX-License-Identifier: Apache-2.0
//
// Notify: what a service manager is sent of this process, by systemd's protocol (sd_notify(3), Type=notify): state,
// one line of status, and a sign of life. Without a manager all of it does nothing.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "util/fd.hpp"

namespace loopwatch {

class Notify {
public:
    // From NOTIFY_SOCKET, a path or an abstract name ("@…"): without it, or where it cannot be used, the rest does
    // nothing. The socket is made here; afterwards only sendto() is needed.
    static Notify open();

    bool enabled() const noexcept { return static_cast<bool>(socket_); }

    // `status` is one line, as `systemctl status` shows it; control characters become spaces.
    void ready(std::string_view status) const;
    void status(std::string_view status) const;
    // A sign of life, due at half of watchdog_interval().
    void watchdog() const;
    // Until ready() follows.
    void reloading() const;
    void stopping() const;

    // How long the manager waits for a sign of life before it ends this process, by WATCHDOG_USEC. None: it does not,
    // or waits for another process (WATCHDOG_PID).
    static std::optional<std::chrono::nanoseconds> watchdog_interval();

private:
    // A change of state waits up to 1 s for a manager that is busy: without READY=1 it would end this process. The rest
    // is repeated anyway, and dropped.
    enum class Patience { none, brief };
    void send(const std::string& message, Patience patience) const;

    Fd socket_;
    sockaddr_un address_ = {};
    socklen_t address_size_ = 0;
};

}  // namespace loopwatch
