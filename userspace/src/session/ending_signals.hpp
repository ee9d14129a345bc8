// SPDX-License-Identifier: Apache-2.0
//
// SIGINT, SIGTERM and SIGHUP end a session with its summary. Blocked from the first line of main on, so that one that
// comes while the kernel side is being loaded is not lost and does not kill; the session reads them.
#pragma once

#include <signal.h>

#include <optional>
#include <string>

#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

sigset_t block_ending_signals();

class EndingSignals {
public:
    EndingSignals() = default;
    static Result<EndingSignals> open();
    int descriptor() const noexcept { return signals_.raw(); }
    // The end's reason, if one has come: "interrupted", "terminated", "hangup".
    std::optional<std::string> take();

private:
    Fd signals_;
};

}  // namespace loopwatch
