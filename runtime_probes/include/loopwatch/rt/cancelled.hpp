// SPDX-License-Identifier: Apache-2.0
//
// What a cancelled task sees: this exception at the co_await it stands at, or at its next one.
#pragma once

#include <string>
#include <utility>

namespace loopwatch {

// Not a std::exception, so that `catch (const std::exception&)` around a request does not swallow a cancellation by
// accident (asyncio moved CancelledError out of Exception for the same reason). May be caught; a task that goes on is
// not cancelled.
class Cancelled {
public:
    explicit Cancelled(std::string reason) : reason_(std::move(reason)) {}
    // What the canceller said; may be empty.
    const std::string& reason() const noexcept { return reason_; }

private:
    std::string reason_;
};

}  // namespace loopwatch
