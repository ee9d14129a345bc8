// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/loop_state.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "detect/statistics.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t second = 1'000'000'000;

// Ourselves, as a process that is watched, with one loop whose slot the test says.
class Watched : public WatchedProcess {
public:
    Watched() : WatchedProcess(std::move(*Process::open(::getpid())))
    {
        known_loops_.push_back({.slot = 0x1000, .id = 3, .ns_tid = 4712, .tid = 4712, .name = "main"});
    }
    bool read(const LoopView&, LoopState& to) const override
    {
        to = slot;
        return !gone;
    }
    bool saw_begin(const LoopView&, const LoopState&) const override { return true; }
    std::vector<int> tiers() const override { return {3}; }
    const std::set<std::string>& probes() const noexcept override { return probes_; }
    void become_unprobed() { known_loops_[0].slot = 0; }
    void found_at(std::uint64_t ns) { known_loops_[0].since_ns = ns; }

    LoopState slot = {};
    bool gone = false;

private:
    std::set<std::string> probes_;
};

}  // namespace

TEST_CASE("statistics are what was counted between two looks")
{
    Watched target;
    Statistics statistics;
    target.slot.iterations = 100;
    target.slot.seq = 40;
    CHECK(statistics.look(target, second).empty());
    target.slot.iterations = 130;
    target.slot.seq = 60;
    const auto stats = statistics.look(target, 2 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 30);
    CHECK(stats[0].dispatches == 10);
    CHECK(stats[0].interval_ns == second);
    CHECK(statistics.dispatches() == 10);
}

TEST_CASE("counters that go back are those of another loop, which begins anew")
{
    Watched target;
    Statistics statistics;
    target.slot.iterations = 1'000;
    target.slot.seq = 400;
    (void)statistics.look(target, second);
    target.slot.iterations = 7;
    target.slot.seq = 4;
    CHECK(statistics.look(target, 2 * second).empty());
    target.slot.iterations = 9;
    const auto stats = statistics.look(target, 3 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 2);
    CHECK(statistics.dispatches() == 0);
}

TEST_CASE("what is born during the session counts from zero, whoever had its thread's number before")
{
    Watched target;
    Statistics statistics;
    target.slot.iterations = 1'000;
    (void)statistics.look(target, second);
    statistics.born(4712, 3, 2 * second);
    target.slot.iterations = 5;
    const auto stats = statistics.look(target, 3 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 5);
}

TEST_CASE("loops that come and go leave room for others; those beyond the cap are counted")
{
    Watched target;
    Statistics statistics;
    for (std::uint32_t tid = 1; tid <= 10'000; ++tid) {
        statistics.born(tid, 1, second);
        statistics.forget(tid, 1);
    }
    CHECK(statistics.overflow() == 0);
    for (std::uint32_t tid = 1; tid <= 5'000; ++tid) statistics.born(tid, 1, second);
    CHECK(statistics.overflow() == 5'000 - 4'096);
    CHECK(statistics.look(target, second).empty());
    CHECK(statistics.look(target, 2 * second).empty());
}

TEST_CASE("how late timers are is told only of loops whose timers are seen")
{
    Watched target;
    Statistics statistics;
    (void)statistics.look(target, second);
    CHECK(statistics.look(target, 2 * second)[0].lag_ns);
    target.become_unprobed();
    CHECK_FALSE(statistics.look(target, 3 * second)[0].lag_ns);
}

TEST_CASE("an iteration that goes on at the end is the longest, if it is, and counts as none that ended")
{
    Watched target;
    target.become_unprobed();
    Statistics statistics;
    statistics.born(4712, 3, second);
    target.slot.seq = 19;
    target.slot.iterations = 9;
    target.slot.dispatch_histogram[lw_bucket_of(100'000)] = 9;
    target.slot.start = 2 * second;
    const auto stats = statistics.look(target, 2 * second + 220'000'000);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 9);
    CHECK(stats[0].open_ns == 220'000'000);
    CHECK(stats[0].dispatch_ns.max == 220'000'000);
    CHECK(stats[0].dispatch_ns.p99 < 200'000);
    CHECK(statistics.dispatch_ns().max == 220'000'000);
    target.slot.seq = 20;
    CHECK_FALSE(statistics.look(target, 3 * second)[0].open_ns);
}

TEST_CASE("a dispatch that is open at two looks is counted once, when it has ended")
{
    Watched target;
    Statistics statistics;
    statistics.born(4712, 3, second);
    target.slot.seq = 7;
    target.slot.start = second;
    CHECK(statistics.look(target, 2 * second)[0].dispatches == 3);
    target.slot.seq = 8;
    CHECK(statistics.look(target, 3 * second)[0].dispatches == 1);
    CHECK(statistics.dispatches() == 4);
}

TEST_CASE("a dispatch without a known start is open since the first look at it")
{
    Watched target;
    Statistics statistics;
    target.slot.seq = 7;
    (void)statistics.look(target, second);
    CHECK(statistics.look(target, 2 * second)[0].open_ns == second);
    CHECK(statistics.look(target, 4 * second)[0].open_ns == 3 * second);
}

TEST_CASE("of a loop whose memory is gone a stall that was reported is in the last statistics")
{
    Watched target;
    Statistics statistics;
    (void)statistics.look(target, second);
    target.gone = true;
    CHECK(statistics.look(target, 2 * second).empty());
    statistics.reported(4712, 3, 220'000'000, false);
    auto stats = statistics.look(target, 3 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].dispatches == 0);
    CHECK(stats[0].busy_ns == 220'000'000);
    CHECK(stats[0].open_ns == 220'000'000);
    CHECK(stats[0].dispatch_ns.max == 220'000'000);
    CHECK(statistics.look(target, 4 * second).empty());
    statistics.reported(4712, 3, 220'000'000, false);
    statistics.reported(4712, 3, 250'000'000);
    stats = statistics.look(target, 5 * second);
    REQUIRE(stats.size() == 1);
    CHECK_FALSE(stats[0].open_ns);
    CHECK(stats[0].dispatch_ns.max == 250'000'000);
}

TEST_CASE("a loop that is found during the session counts from then on, not from the next look")
{
    Watched target;
    target.become_unprobed();
    target.found_at(second);
    Statistics statistics;
    target.slot.iterations = 9;
    const auto stats = statistics.look(target, 2 * second);
    REQUIRE(stats.size() == 1);
    CHECK(stats[0].iterations == 9);
    CHECK(stats[0].interval_ns == second);
}
