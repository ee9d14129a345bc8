// SPDX-License-Identifier: Apache-2.0
#include "analysis/quantiles.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace loopwatch {
namespace {

constexpr std::size_t last_bucket = 62 * 4 + 3;  // of 2⁶⁴ - 1

// The bucket's values lie in [lower, upper): below 4 each is its own.
double quantile_ticks(std::span<const std::uint64_t> counts, std::uint64_t total, double q)
{
    const double rank = std::max(1.0, std::ceil(q * static_cast<double>(total)));
    double before = 0;
    for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
        const auto count = static_cast<double>(counts[bucket]);
        if (count > 0 && before + count >= rank) {
            const auto lower = static_cast<double>(bucket_lower_bound(bucket));
            if (bucket < 4) return lower;
            const auto width = static_cast<double>(bucket_lower_bound(bucket + 1)) - lower;
            return lower + width * (rank - before - 0.5) / count;
        }
        before += count;
    }
    return 0;
}

}  // namespace

std::uint64_t bucket_lower_bound(std::size_t bucket)
{
    if (bucket < 4) return bucket;
    if (bucket > last_bucket) return UINT64_MAX;
    return static_cast<std::uint64_t>(4 + bucket % 4) << (bucket / 4 - 1);
}

Quantiles quantiles(std::span<const std::uint64_t> counts, double ns_per_tick, std::uint64_t max_ticks)
{
    Quantiles result;
    constexpr double most = 1.8e19;  // counters come from the target: a wild one must not leave the range of the cast
    const auto to_ns = [&](double ticks) {
        return static_cast<std::uint64_t>(std::clamp(std::round(ticks * ns_per_tick), 0.0, most));
    };
    std::uint64_t total = 0;
    std::size_t last = 0;
    for (std::size_t bucket = 0; bucket < counts.size(); ++bucket) {
        if (counts[bucket] == 0) continue;
        total += counts[bucket];
        last = bucket;
        result.buckets[to_ns(static_cast<double>(bucket_lower_bound(bucket)))] += counts[bucket];
    }
    if (total == 0) return result;
    const auto edge = last < 4 ? last : bucket_lower_bound(last + 1) - 1;
    const auto max = max_ticks == 0 ? edge : max_ticks;
    const auto at = [&](double q) {
        return to_ns(std::min(quantile_ticks(counts, total, q), static_cast<double>(max)));
    };
    result.p50 = at(0.5);
    result.p90 = at(0.9);
    result.p99 = at(0.99);
    result.max = to_ns(static_cast<double>(max));
    return result;
}

Quantiles quantiles(std::span<const std::uint32_t> counts, double ns_per_tick, std::uint64_t max_ticks)
{
    const std::vector<std::uint64_t> wide(counts.begin(), counts.end());
    return quantiles(std::span<const std::uint64_t>(wide), ns_per_tick, max_ticks);
}

}  // namespace loopwatch
