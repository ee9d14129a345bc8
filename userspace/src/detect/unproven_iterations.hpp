// SPDX-License-Identifier: Apache-2.0
//
// UnprovenIterations: slow iterations of threads that are not known for sure to run a loop: a poll or a select may be
// anybody's, only one that recurs is a loop's. hold() → take_proven() once that shows. What never shows is counted.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "analysis/facts.hpp"
#include "util/byte_budget.hpp"

namespace loopwatch {

class UnprovenIterations {
public:
    using Which = std::function<bool(const Subject& thread)>;
    static constexpr std::size_t most_of_a_thread = 8;
    static constexpr std::size_t most = 128;
    static constexpr std::size_t max_bytes = 64u << 20, assured_bytes = 4u << 20;

    // One that has no room is lost at once.
    void hold(DispatchFacts facts);
    // Those of threads that have proven to be loops since, in the order in which they were held.
    std::vector<DispatchFacts> take_proven(const Which& proven);
    // Of threads that have ended: how many are lost with them. A stall in progress is no loss of its own.
    std::uint64_t forget(const Which& ended);
    // Since the start.
    std::uint64_t lost() const noexcept { return lost_; }
    std::size_t bytes() const noexcept { return budget_.held(); }

private:
    void give_back(const DispatchFacts& facts) { budget_.give_back(facts.subject.pid, bytes_of(facts)); }

    std::vector<DispatchFacts> held_;
    ByteBudget budget_{max_bytes, assured_bytes};
    std::uint64_t lost_ = 0;
};

}  // namespace loopwatch
