// SPDX-License-Identifier: Apache-2.0
//
// The cold end of a wrapper: a slow call becomes one blocking_call probe. Runs in the user's process, possibly in a
// signal handler: no allocation, no lock, no stdio.
#pragma once

#include <cstdint>
#include <ctime>
#include <initializer_list>

#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>

#include "caller_memory.hpp"

namespace loopwatch::preload {

// What a row tells of its call; becomes struct lw_call_detail.
struct CallDetail {
    int fd = -1;
    std::uint64_t arg = 0;
    const char* text = nullptr;
    const sockaddr* peer = nullptr;  // shown as text: "127.0.0.1:80", "[…]:80", "/run/x.sock", "@abstract"
    socklen_t peer_bytes = 0;
};

struct CallTimes {
    std::uint64_t start_ns, end_ns;  // CLOCK_MONOTONIC
};

[[gnu::cold, gnu::noinline]] void report(const char* call, const void* caller, CallTimes times,
                                         const CallDetail& detail);

// Helpers of the table's detail column, all for the cold path. All ones stands for "for ever"; what cannot be read is 0
// or -1.
constexpr std::uint64_t NS_PER_S = 1'000'000'000, NS_PER_MS = 1'000'000, NS_PER_US = 1'000;

inline std::uint64_t nanoseconds(const timespec& t)
{
    return static_cast<std::uint64_t>(t.tv_sec) * NS_PER_S + static_cast<std::uint64_t>(t.tv_nsec);
}

inline std::uint64_t nanoseconds(const timespec* t)
{
    if (t == nullptr) return ~std::uint64_t{0};
    timespec copy;
    return copy_out(copy, t) ? nanoseconds(copy) : 0;
}

inline std::uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return nanoseconds(now);
}

inline std::uint64_t milliseconds(int ms)
{
    return ms < 0 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(ms) * NS_PER_MS;
}

// The descriptor of a poll that watches a single one.
inline int only(const pollfd* fds, nfds_t n)
{
    pollfd copy;
    return n == 1 && copy_out(copy, fds) ? copy.fd : -1;
}

// Does a select watch more than one?
inline bool several(int n, const fd_set* in, const fd_set* out, const fd_set* error)
{
    int watched = 0;
    for (const fd_set* set : {in, out, error}) {
        fd_set copy;
        if (set == nullptr || n > FD_SETSIZE || !copy_out(copy, set)) continue;
        for (int fd = 0; fd < n; ++fd) watched += FD_ISSET(fd, &copy) ? 1 : 0;
    }
    return watched > 1;
}

}  // namespace loopwatch::preload
