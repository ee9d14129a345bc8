// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <vector>

#include "daemon/budget.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t second = 1'000'000'000;

BudgetLimits one_percent()
{
    BudgetLimits limits;
    limits.grace_ns = 0;
    return limits;
}

// A second at a time.
struct Run {
    explicit Run(BudgetLimits limits = one_percent()) : budget(limits) { budget.measure(now, used); }
    unsigned pass(unsigned seconds, double share)
    {
        unsigned changes = 0;
        for (unsigned i = 0; i < seconds; ++i) {
            now += second;
            used += static_cast<std::uint64_t>(share * second);
            changes += budget.measure(now, used);
        }
        return changes;
    }
    std::uint64_t now = 1'000 * second, used = 5 * second;
    Budget budget;
};

}  // namespace

TEST_CASE("what keeps its budget is done with all effort")
{
    Run run;
    CHECK(run.pass(600, 0.0099) == 0);
    CHECK(run.budget.effort() == Effort::all);
    CHECK(run.budget.used_share() == Approx(0.0099).epsilon(0.02));
}

TEST_CASE("a moment that costs much is no reason, if the minute has room for it")
{
    Run run;
    run.pass(60, 0.001);
    CHECK(run.pass(1, 0.02) == 0);
    CHECK(run.pass(60, 0.001) == 0);
}

TEST_CASE("under ten times the load the effort falls step by step, and what is used stays within 1.2 times the budget")
{
    // What each step leaves of it.
    constexpr double costs[] = {0.1, 0.05, 0.02, 0.004, 0.002};
    Run run;
    double window = 0, most = 0;
    std::vector<double> shares;
    for (int i = 0; i < 600; ++i) {
        const auto share = costs[static_cast<int>(run.budget.effort())];
        run.pass(1, share);
        shares.push_back(share);
        window += share;
        if (shares.size() > 60) window -= shares[shares.size() - 61];
        most = std::max(most, window / 60);
    }
    CHECK(most <= 0.012);
    CHECK(most > 0.005);
}

TEST_CASE("targets are let go one after the other while all else was not enough")
{
    Run run;
    run.pass(30, 0.05);
    CHECK(run.budget.effort() == Effort::fewer_targets);
    CHECK(run.pass(10, 0.05) == 10);
    CHECK(run.budget.effort() == Effort::fewer_targets);
}

TEST_CASE("after a minute of calm the effort rises by one step")
{
    Run run;
    run.pass(10, 0.05);
    const auto low = run.budget.effort();
    REQUIRE(low > Effort::all);
    CHECK(run.pass(59, 0.001) == 0);
    CHECK(run.pass(6, 0.001) == 1);
    CHECK(static_cast<int>(run.budget.effort()) == static_cast<int>(low) - 1);
    run.pass(600, 0.001);
    CHECK(run.budget.effort() == Effort::all);
}

TEST_CASE("attaching to a new target is not judged, up to twice the budget")
{
    Run run;
    run.pass(120, 0.001);
    run.now += second;
    run.used += second;  // of which 1.2 s in a minute are granted
    CHECK_FALSE(run.budget.measure(run.now, run.used, true));
    CHECK(run.pass(10, 0.001) == 0);
    run.now += second;
    run.used += second;
    CHECK(run.budget.measure(run.now, run.used, true));
}

TEST_CASE("the first minute, in which all targets come, is not judged")
{
    Run run{BudgetLimits()};
    CHECK(run.pass(59, 0.5) == 0);
    CHECK(run.pass(5, 0.5) > 0);
}
