// SPDX-License-Identifier: Apache-2.0
#include <lw_event.h>
#include <algorithm>
#include <catch2/catch.hpp>

#include "analysis/completeness.hpp"

using namespace loopwatch;

TEST_CASE("a report is complete if nothing was lost or held back, and nothing warned of")
{
    const auto whole = completeness({{"ring_full", 0}}, {{"stall", 0}}, {}, true);
    CHECK(whole.level == "complete");
    CHECK(whole.reason.empty());
}

TEST_CASE("what may be missing is said, whole findings first")
{
    const auto lost = completeness({{"symbol_worker", 2}, {"ring_full", 3}}, {}, {}, true);
    CHECK(lost.level == "findings_missing");
    CHECK(lost.reason ==
          "records that came faster than they were read: 3 (ring_full); stacks without names: 2 (symbol_worker)");

    CHECK(completeness({{"sampling_failed", 2}}, {}, {}, true).level == "limited");
    CHECK(completeness({}, {{"stall", 7}}, {}, true).reason == "7 findings beyond the rate limits");
    CHECK(completeness({}, {}, {1, 0}, true).level == "limited");
    CHECK(completeness({}, {}, {1, 0}, true).reason == "1 warning");
}

TEST_CASE("a report that lacks only names has seen all, and is not limited")
{
    CHECK(completeness({{"symbol_worker", 2}, {"stack_budget", 1}}, {}, {}, true).level == "names_missing");
    const auto nameless = completeness({}, {}, {0, 2}, true);
    CHECK(nameless.level == "names_missing");
    CHECK(nameless.reason == "2 warnings about names");
    const auto both = completeness({{"symbol_worker", 2}}, {}, {1, 0}, true);
    CHECK(both.level == "limited");
    CHECK(both.reason == "1 warning; stacks without names: 2 (symbol_worker)");
}

TEST_CASE("a loss that has no description counts as one of findings")
{
    CHECK(completeness({{"brand_new", 1}}, {}, {}, true).level == "findings_missing");
}

TEST_CASE("a session that saw no event loop has watched nothing, whatever else it lost")
{
    CHECK(completeness({{"ring_full", 3}}, {}, {2, 0}, false).level == "nothing_watched");
}

TEST_CASE("more than three reasons are counted")
{
    const auto many =
        completeness({{"ring_full", 1}, {"time_wild", 1}, {"sampling_failed", 1}, {"stack_budget", 1}}, {}, {}, true);
    CHECK(many.reason.ends_with("; and 1 more under lost"));
}

TEST_CASE("each loss of the kernel side is described")
{
    static constexpr std::string_view names[] = {
#define X(name, doc) #name,
        LW_LOSSES(X)
#undef X
    };
    for (const auto name : names) {
        INFO(name);
        CHECK(std::ranges::count(all_losses(), name, &Loss::name) == 1);
    }
}
