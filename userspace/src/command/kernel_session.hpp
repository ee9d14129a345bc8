// SPDX-License-Identifier: Apache-2.0
//
// A session of the kernel side: of processes that run already, or have been started and are held.
#pragma once

#include <memory>

#include "attach/kernel_source.hpp"
#include "command/core_confinement.hpp"
#include "command/session.hpp"

namespace loopwatch {

struct KernelSession {
    std::unique_ptr<Session> session;
    std::unique_ptr<KernelSource> source;  // ends before the session, whose engine it serves

    // Everything that can go wrong before detection is live goes wrong here. `hub` outlives it.
    static Result<KernelSession> open(SessionOptions options, Hub& hub);
    // Detection is live once this returns, and privileges are down to what attaching to others takes.
    void begin(CoreWork rest = CoreWork::kernel_side);
};

}  // namespace loopwatch
