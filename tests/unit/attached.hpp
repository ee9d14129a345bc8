// SPDX-License-Identifier: Apache-2.0
//
// A session of loopwatch, as the runtime sees one: the semaphore that the kernel raises.
#pragma once

#include <loopwatch/probe.hpp>

namespace loopwatch {

class Session {
public:
    Session() { loopwatch_semaphores.count[LW_GATE_watch] = 1; }
    ~Session() { loopwatch_semaphores.count[LW_GATE_watch] = 0; }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
};

}  // namespace loopwatch
