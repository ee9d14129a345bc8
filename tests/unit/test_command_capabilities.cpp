// SPDX-License-Identifier: Apache-2.0
//
// What doctor says of a set of capabilities.
#include <linux/capability.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <initializer_list>

#include "command/capabilities.hpp"

using namespace loopwatch;

namespace {

std::uint64_t set_of(std::initializer_list<unsigned> capabilities)
{
    std::uint64_t set = 0;
    for (const auto capability : capabilities) set |= std::uint64_t(1) << capability;
    return set;
}

Verdict verdict_on(const char* name, std::uint64_t effective)
{
    const auto checks = check_capabilities(effective);
    const auto found = std::ranges::find(checks, name, &Check::name);
    REQUIRE(found != checks.end());
    return found->verdict;
}

}  // namespace

TEST_CASE("with all capabilities each row is ok, and nothing is to be mended")
{
    const auto checks = check_capabilities(~0ull);
    CHECK(checks.size() == 8);
    CHECK(std::ranges::all_of(checks, [](const Check& one) {
        return one.verdict == Verdict::ok && !one.finding.empty() && one.cure.empty();
    }));
    CHECK(missing_privileges(~0ull).empty());
}

TEST_CASE("without any, those are missing that no session works without, and each says what to do")
{
    const auto checks = check_capabilities(0);
    CHECK(std::ranges::count(checks, Verdict::missing, &Check::verdict) == 3);
    CHECK(std::ranges::count(checks, Verdict::degraded, &Check::verdict) == 5);
    CHECK(std::ranges::none_of(checks, [](const Check& one) { return one.finding.empty() || one.cure.empty(); }));
    CHECK(missing_privileges(0) == "CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE");
}

TEST_CASE("a capability that the kernel takes for another counts as that one")
{
    const auto admin = set_of({CAP_SYS_ADMIN});
    CHECK(missing_privileges(admin) == "CAP_SYS_PTRACE");
    CHECK(verdict_on("CAP_BPF", admin) == Verdict::ok);
    CHECK(verdict_on("CAP_PERFMON", admin) == Verdict::ok);
    CHECK(verdict_on("CAP_CHECKPOINT_RESTORE", admin) == Verdict::ok);
    CHECK(verdict_on("CAP_SYSLOG", admin) == Verdict::degraded);
    CHECK(verdict_on("CAP_DAC_READ_SEARCH", set_of({CAP_DAC_OVERRIDE})) == Verdict::ok);
    CHECK(verdict_on("CAP_DAC_READ_SEARCH", admin) == Verdict::degraded);
}
