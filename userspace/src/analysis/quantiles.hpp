// SPDX-License-Identifier: Apache-2.0
//
// From a histogram as a loop publishes it (log2 with 4 sub-buckets an octave, in ticks of its clock) to Quantiles in
// nanoseconds.
#pragma once

#include <cstdint>
#include <span>

#include "analysis/finding.hpp"

namespace loopwatch {

// The smallest value that falls into a bucket, in ticks: exact below 4, then (4 + b % 4) << (b / 4 - 1).
std::uint64_t bucket_lower_bound(std::size_t bucket);

// Within a bucket values are taken as evenly spread, so that a quantile is off by at most the bucket's width (25 %).
// `max_ticks`: the largest value if it is known, else 0, and `max` is the upper edge of the last bucket used. An empty
// histogram gives zeros.
Quantiles quantiles(std::span<const std::uint64_t> counts, double ns_per_tick, std::uint64_t max_ticks = 0);
Quantiles quantiles(std::span<const std::uint32_t> counts, double ns_per_tick, std::uint64_t max_ticks = 0);

}  // namespace loopwatch
