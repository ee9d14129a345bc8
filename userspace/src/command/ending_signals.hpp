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
// For a command that only waits for another process, and leaves nothing behind: they end this one at once.
void unblock_ending_signals();

class EndingSignals {
public:
    EndingSignals() = default;
    static Result<EndingSignals> open();
    // Also those that end nothing of ours, for who hands all of them on.
    static Result<EndingSignals> open_all();
    int descriptor() const noexcept { return signals_.raw(); }
    // SIGHUP ends nothing.
    void keep_on_hangup() { hangup_ends_ = false; }
    struct Signal {
        int number = 0;
        std::string reason;          // "interrupted", "terminated", "hangup"
        bool ends = true;            // one that asks us to end
        bool from_terminal = false;  // so that the whole foreground group has had it
    };
    // If one has come.
    std::optional<Signal> take();
    // Waits for one for at most so long.
    bool arrived_within(std::uint64_t timeout_ns);

private:
    static Result<EndingSignals> of(const sigset_t& set);
    Fd signals_;
    bool hangup_ends_ = true;
};

}  // namespace loopwatch
