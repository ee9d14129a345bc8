// SPDX-License-Identifier: Apache-2.0
//
// Sink: where reports go. take() as they come → flush() after each round of the session → close() at its end. None of
// these waits, but close().
#pragma once

#include <cstdint>

#include "analysis/finding.hpp"
#include "util/result.hpp"

namespace loopwatch {

class Sink {
public:
    virtual ~Sink() = default;
    // Fail when what was taken cannot be delivered (disk full, reader gone). It is kept, and may be delivered later.
    virtual Result<void> take(const Report& report) = 0;
    virtual Result<void> flush() = 0;
    // Delivers what is left. `wait_for_reader`: as long as a slow one takes; else 0.7 s.
    virtual Result<void> close(bool wait_for_reader) = 0;
    // Records that were dropped, as there was no room for them.
    virtual std::uint64_t lost() const { return 0; }
    // A descriptor that will be writable when flush() can go on; -1: there is nothing to wait for.
    virtual int waits_for() const { return -1; }
    // Its reader is a person, who sees warnings as they come.
    virtual bool for_people() const { return false; }
};

}  // namespace loopwatch
