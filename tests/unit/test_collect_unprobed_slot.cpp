// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <vector>

#include "collect/unprobed_slot.hpp"

using namespace loopwatch;

namespace {

UnprobedSite site(std::uint64_t ip)
{
    return {ip, 0x7000, 5, 232};
}

// The loop runs iteration 41 since 1,000 ns; it has two sites: 0x10 is its own, 0x20 is not classified.
lw_unprobed running()
{
    const KnownSite sites[] = {{site(0x10), true}, {site(0x20), false}};
    auto own = unprobed_slot(sites, 0, {});
    own.slot.magic = LW_SLOT_MAGIC;
    own.slot.abi = LW_ABI;
    own.slot.size = sizeof own.slot;
    own.slot.seq = 41;
    own.slot.start = 1'000;
    return own;
}

void pass(lw_unprobed& own, std::uint64_t site, std::uint64_t left_ns)
{
    own.unsure[own.unsure_count++] = {site, left_ns - 10, left_ns};
}

}  // namespace

TEST_CASE("a slot begins with its sites and their verdicts, as many as it has room for")
{
    const auto own = running();
    CHECK(own.site_count == 2);
    CHECK(own.sites[0].ip == 0x10);
    CHECK(own.sites[0].verdict == LW_VERDICT_IDLE);
    CHECK(own.sites[1].verdict == LW_VERDICT_NONE);
    const std::vector<KnownSite> many(LW_SITES + 3, {site(1), true});
    CHECK(unprobed_slot(many, 0, {}).site_count == LW_SITES);
    CHECK(unprobed_slot({}, 0, {}).slot.seq == 0);
    const auto begun = unprobed_slot({}, 0, 7);
    CHECK(begun.slot.seq == 1);
    CHECK(begun.slot.start == 7);
}

TEST_CASE("a stack is copied up to the loop's frame, if it is known where it ends")
{
    CHECK(unprobed_slot({}, 0x10000, {}).slot.stack_top == 0x10000 - LW_ABOVE_LOOP);
    CHECK(loop_frame(0) == 0);
    CHECK(loop_frame(LW_ABOVE_LOOP) == 0);
}

TEST_CASE("a verdict is stored at its site alone, and what has none is asked about again")
{
    auto own = running();
    CHECK(has_verdict(own, 0));
    CHECK_FALSE(has_verdict(own, 1));
    ask_unanswered(own);
    CHECK(own.sites[0].verdict == LW_VERDICT_IDLE);
    CHECK(own.sites[1].verdict == LW_VERDICT_ASK);
    CHECK_FALSE(has_verdict(own, 1));
    auto other = site(0x20);
    other.object = 6;
    store_verdict(own, other, LW_VERDICT_BUSY);
    CHECK_FALSE(has_verdict(own, 1));
    store_verdict(own, site(0x20), LW_VERDICT_BUSY);
    CHECK(own.sites[1].verdict == LW_VERDICT_BUSY);
    CHECK(has_verdict(own, 1));
    own.site_count = LW_SITES + 9;  // the kernel's number is held to its bounds
    ask_unanswered(own);
    CHECK(own.sites[LW_SITES - 1].verdict == LW_VERDICT_ASK);
}

TEST_CASE("iterations that ended at a site are counted there")
{
    auto own = running();
    own.sites[1].ends = 3;
    CHECK(ends_at(own, site(0x20)) == 3);
    CHECK(ends_at(own, site(0x10)) == 0);
    CHECK(ends_at(own, site(0x30)) == 0);
}

TEST_CASE("a loop is awake since it last slept, or since its iteration began, and the longest time is returned once")
{
    auto own = running();
    CHECK(take_awake_ns(own, 5'000) == 4'000);
    own.woke_ns = 3'000;
    CHECK(take_awake_ns(own, 5'000) == 2'000);
    CHECK(take_awake_ns(own, 2'000) == 0);
    own.awake_ns = 9'000;
    CHECK(take_awake_ns(own, 5'000) == 9'000);
    CHECK(take_awake_ns(own, 5'000) == 2'000);
    own.woke_ns = 0;
    own.slot.seq = 42;
    CHECK(take_awake_ns(own, 5'000) == 0);
}

TEST_CASE("an iteration begins where the loop left the last of its own sites")
{
    auto own = running();
    pass(own, 0, 2'000);
    pass(own, 1, 3'000);
    auto state = iteration_state(own);
    REQUIRE(state);
    // At 3,000 it left a site that may be its own: then this is another iteration than 41.
    CHECK(state->seq == 40);
    store_verdict(own, site(0x20), LW_VERDICT_BUSY);
    state = iteration_state(own);
    CHECK(state->seq == 41);
    CHECK(state->start == 2'000);
    store_verdict(own, site(0x20), LW_VERDICT_IDLE);
    state = iteration_state(own);
    CHECK(state->seq == 41);
    CHECK(state->start == 3'000);
}

TEST_CASE("what began at a site that is not the loop's own was no iteration")
{
    auto own = running();
    own.began_unsure = 1;
    pass(own, 1, 2'000);
    store_verdict(own, site(0x20), LW_VERDICT_BUSY);
    CHECK(iteration_state(own)->seq == 40);
    pass(own, 0, 3'000);
    CHECK(iteration_state(own)->seq == 41);
    own.slot.seq = 42;  // between iterations
    CHECK(iteration_state(own)->seq == 42);
    own.slot.magic = 0;
    CHECK_FALSE(iteration_state(own));
}
