// SPDX-License-Identifier: Apache-2.0
//
// What was taken for one iteration, and turned out to be several: waits within it were the loop's own.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "analysis/facts.hpp"

namespace loopwatch {

// A block that lies behind the iteration's end, or in a wait that was the loop's own, does not belong to it.
void take_out(BlockFacts& block, DispatchFacts& facts);

// Those between `own_waits` (in their order) that are slow or hold a long block. What is known to have happened in
// another is taken out of each; of a place that blocked in several only the sum is known, and it stays, as far as it
// fits.
std::vector<DispatchFacts> pieces_between(const DispatchFacts& facts, std::span<const ParkFacts> own_waits,
                                          std::uint64_t threshold_ns);

}  // namespace loopwatch
