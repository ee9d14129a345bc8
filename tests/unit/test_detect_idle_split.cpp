// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "detect/idle_split.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000, threshold = 100 * ms, park = 0x1000, sleep_ = 0x2000;

CallEvent call(std::uint64_t caller, std::uint64_t start_ms, std::uint64_t end_ms)
{
    CallEvent event;
    event.caller = caller;
    event.start_ns = start_ms * ms;
    event.end_ns = end_ms * ms;
    return event;
}

// An iteration from 1,000 ms to 2,000 ms.
DispatchBundle iteration(std::vector<CallEvent> calls)
{
    DispatchBundle bundle;
    DispatchEvent closing;
    closing.start_ns = 1'000 * ms;
    closing.end_ns = 2'000 * ms;
    closing.slow = true;
    bundle.closing = closing;
    bundle.calls = std::move(calls);
    return bundle;
}

std::vector<DispatchBundle> split(const DispatchBundle& bundle)
{
    return split_at_idle(
        bundle, [](std::uint64_t caller) { return caller == park; }, threshold);
}

}  // namespace

TEST_CASE("what lies before and behind an idle wait are two iterations")
{
    const auto parts = split(iteration({call(sleep_, 1'000, 1'150), call(park, 1'150, 1'800)}));
    REQUIRE(parts.size() == 2);
    CHECK(parts[0].closing->start_ns == 1'000 * ms);
    CHECK(parts[0].closing->end_ns == 1'150 * ms);
    CHECK(parts[0].closing->slow);
    REQUIRE(parts[0].calls.size() == 1);
    CHECK(parts[0].calls[0].caller == sleep_);
    CHECK(parts[1].closing->start_ns == 1'800 * ms);
    CHECK(parts[1].closing->slow);
    CHECK(parts[1].calls.empty());
}

TEST_CASE("an iteration that is short and made no call is none to report")
{
    CHECK(split(iteration({call(park, 1'050, 1'950)})).empty());
    const auto parts = split(iteration({call(park, 1'050, 1'950), call(sleep_, 1'960, 1'980)}));
    REQUIRE(parts.size() == 1);
    CHECK_FALSE(parts[0].closing->slow);
    CHECK(parts[0].closing->start_ns == 1'950 * ms);
}

TEST_CASE("of summed idle waits it is not known what lies between")
{
    auto waits = call(park, 1'050, 1'060);
    waits.more = 3;
    CHECK(split(iteration({waits, call(sleep_, 1'500, 1'700)})).empty());
}

TEST_CASE("of an iteration that goes on only what lies behind the last idle wait does")
{
    auto stalled = iteration({call(sleep_, 1'000, 1'200), call(park, 1'200, 1'500)});
    stalled.in_progress = true;
    const auto parts = split(stalled);
    REQUIRE(parts.size() == 1);
    CHECK(parts[0].closing->start_ns == 1'500 * ms);
    CHECK(split(iteration({call(park, 1'200, 2'000)})).size() == 1);
    stalled.calls = {call(park, 1'200, 2'000)};
    CHECK(split(stalled).empty());
}
