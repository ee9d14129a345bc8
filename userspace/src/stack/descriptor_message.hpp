// SPDX-License-Identifier: Apache-2.0
//
// Bytes with descriptors beside them (SCM_RIGHTS), over a Unix socket. One call of sendmsg or recvmsg each: what they
// return and errno are the caller's. Allocates nothing, as it runs in the zygote, too.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "util/fd.hpp"

namespace loopwatch {

// Does not wait. `fd` stays the caller's; below 0: none.
ssize_t send_message(int socket, std::span<const std::uint8_t> bytes, int fd);

inline constexpr std::size_t max_descriptors = 8;  // of one message; the kernel closes those beyond

// `flags` of recvmsg(2); descriptors are close-on-exec. `take` is given each.
ssize_t receive_message(int socket, std::span<std::uint8_t> bytes, int flags, const std::function<void(Fd)>& take);

}  // namespace loopwatch
