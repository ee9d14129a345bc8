// SPDX-License-Identifier: Apache-2.0
//
// Takes from the core, once it is attached and has started what it is to start, all privileges and system calls that
// the rest of its work does not need.
#pragma once

#include "util/result.hpp"

namespace loopwatch {

enum class CoreWork {
    kernel_side,  // attaches to processes that come later, too
    daemon,       // as kernel_side, and answers on its control socket, which listens already
    shims,        // reads the rings and the memory of what it has started
};

// For good, of all threads, except that one which waits for the kernel keeps its capabilities until it has ended.
// Nothing can be started afterwards. `writes_files_later`: reports and baselines are created at the end, maybe in
// another user's directory. Fails if a capability cannot be given up. A kernel without seccomp is no failure: loopwatch
// doctor reports it.
Result<void> confine_core(CoreWork work, bool writes_files_later);

}  // namespace loopwatch
