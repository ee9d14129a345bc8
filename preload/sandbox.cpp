// SPDX-License-Identifier: Apache-2.0
#include "sandbox.hpp"

#include "raw_syscall.hpp"
#include "ring.hpp"
#include "shim_state.hpp"
#include "standalone.hpp"

namespace loopwatch::preload {

// The last time for what needs system calls: a lane for the loop that this thread may come to run.
void enter_sandbox()
{
    if (sandboxed || ring == nullptr || !in_own_process()) return;
    if (thread.lane == nullptr) claim_lane(nullptr, true);
    if (standalone != Standalone::off) say_sandboxed();
    ring->sandboxed = 1;
    __atomic_store_n(&sandboxed, true, __ATOMIC_RELAXED);
}

}  // namespace loopwatch::preload
