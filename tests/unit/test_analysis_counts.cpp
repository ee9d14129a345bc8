// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cmath>
#include <random>

#include "analysis/occurrences.hpp"
#include "analysis/quantiles.hpp"

using namespace loopwatch;

namespace {

// The writer's rule, as loop_state.h documents it: exact below 4, then 4 sub-buckets an octave.
std::size_t bucket_of(std::uint64_t value)
{
    if (value < 4) return value;
    int log2 = 63;
    while ((value >> log2) == 0) --log2;
    return static_cast<std::size_t>(log2 - 1) * 4 + ((value >> (log2 - 2)) & 3);
}

}  // namespace

TEST_CASE("a fingerprint's occurrences are counted from one")
{
    Occurrences seen;
    CHECK(seen.add("a") == 1);
    CHECK(seen.add("a") == 2);
    CHECK(seen.add("b") == 1);
    CHECK(seen.add("a") == 3);
    CHECK(seen.size() == 2);
    CHECK(seen.evictions() == 0);
}

TEST_CASE("what was not seen for longest is forgotten first, and counted")
{
    Occurrences seen(2);
    seen.add("a");
    seen.add("b");
    seen.add("a");
    seen.add("c");
    CHECK(seen.evictions() == 1);
    CHECK(seen.size() == 2);
    CHECK(seen.add("a") == 3);
    CHECK(seen.add("b") == 1);
    CHECK(seen.evictions() == 2);
}

TEST_CASE("the count holds ten thousand fingerprints")
{
    Occurrences seen;
    for (int i = 0; i < 10'001; ++i) seen.add(std::to_string(i));
    CHECK(seen.size() == 10'000);
    CHECK(seen.evictions() == 1);
    CHECK(seen.add("10000") == 2);
    CHECK(seen.add("0") == 1);
}

TEST_CASE("a bucket's lower bound is the smallest value that falls into it")
{
    for (std::size_t bucket = 0; bucket <= 251; ++bucket) {
        const auto lower = bucket_lower_bound(bucket);
        REQUIRE(bucket_of(lower) == bucket);
        if (lower > 0) REQUIRE(bucket_of(lower - 1) == bucket - 1);
    }
    CHECK(bucket_of(UINT64_MAX) == 251);
    CHECK(bucket_lower_bound(252) == UINT64_MAX);
}

TEST_CASE("quantiles lie within a bucket's width of the truth")
{
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> times(10, 2);
    std::vector<std::uint64_t> values;
    std::vector<std::uint32_t> counts(160);
    for (int i = 0; i < 20'000; ++i) {
        values.push_back(static_cast<std::uint64_t>(times(random)));
        ++counts[bucket_of(values.back())];
    }
    std::ranges::sort(values);
    const auto found = quantiles(std::span<const std::uint32_t>(counts), 2.0, values.back());
    const auto near = [&](double q) {
        return Approx(2.0 * static_cast<double>(values[static_cast<std::size_t>(q * 20'000)])).epsilon(0.05);
    };
    CHECK(static_cast<double>(found.p50) == near(0.5));
    CHECK(static_cast<double>(found.p90) == near(0.9));
    CHECK(static_cast<double>(found.p99) == near(0.99));
    CHECK(found.max == 2 * values.back());
    std::uint64_t total = 0;
    for (const auto& [lower, count] : found.buckets) total += count;
    CHECK(total == 20'000);
}

TEST_CASE("small values are exact, empty histograms are zeros")
{
    const std::vector<std::uint64_t> counts{0, 5, 0, 1};
    const auto found = quantiles(std::span<const std::uint64_t>(counts), 10.0);
    CHECK(found.p50 == 10);
    CHECK(found.p99 == 30);
    CHECK(found.max == 30);
    CHECK(found.buckets == std::map<std::uint64_t, std::uint64_t>{{10, 5}, {30, 1}});
    const auto none = quantiles(std::span<const std::uint64_t>(), 1.0);
    CHECK(none.max == 0);
    CHECK(none.buckets.empty());
}

TEST_CASE("a quantile never exceeds the largest value known")
{
    std::vector<std::uint64_t> counts(160);
    counts[bucket_of(1025)] = 1;
    const auto found = quantiles(std::span<const std::uint64_t>(counts), 1.0, 1025);
    CHECK(found.max == 1025);
    CHECK(found.p99 == 1025);
    CHECK(quantiles(std::span<const std::uint64_t>(counts), 1.0).max == 1279);
}

TEST_CASE("wild counters give wild numbers, not undefined ones")
{
    std::vector<std::uint64_t> counts(300, UINT64_MAX / 3);
    const auto found = quantiles(std::span<const std::uint64_t>(counts), 1e9, UINT64_MAX);
    CHECK(found.max >= found.p99);
}
