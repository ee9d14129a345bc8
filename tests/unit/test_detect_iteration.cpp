// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "call_stack.hpp"
#include "detect/iteration.hpp"

using namespace loopwatch;
using namespace loopwatch::call_stack;

namespace {

constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t own_sp = 0x8000, callback_sp = 0x7000;

// The loop of thread 1 waits in epoll_wait at own_sp.
WaitSites known()
{
    WaitSites sites;
    sites.judge(at(epoll_wait, own_sp), stack(reactor));
    return sites;
}

// An iteration from 1,000 ms to 2,000 ms, of a target with a threshold of 100 ms.
DispatchFacts iteration()
{
    DispatchFacts facts;
    facts.subject.tid = 1;
    facts.iteration = true;
    facts.start_ns = 1'000 * ms;
    facts.end_ns = 2'000 * ms;
    return facts;
}

// `count` sleeps of so long in all, the last of which began then.
BlockFacts block(std::uint64_t sp, std::uint64_t last_start_ms, std::uint64_t total_ms, std::uint64_t count = 1)
{
    BlockFacts block;
    block.syscall = epoll_wait;
    block.ip = 0x7000 + epoll_wait;
    block.sp = sp;
    block.count = count;
    block.total_ns = total_ms * ms;
    block.last_start_ns = last_start_ms * ms;
    block.last_end_ns = (last_start_ms + total_ms) * ms;
    return block;
}

DispatchFacts blocked(BlockFacts block)
{
    auto facts = iteration();
    facts.blocked_ns = block.total_ns;
    facts.blocks_by_place.push_back(std::move(block));
    return facts;
}

ParkFacts park(std::uint64_t sp, std::uint64_t since_ms, std::uint64_t left_ms)
{
    ParkFacts park;
    park.since_ns = since_ms * ms;
    park.left_ns = left_ms * ms;
    park.ip = 0x7000 + epoll_wait;
    park.sp = sp;
    park.syscall = epoll_wait;
    return park;
}

const auto after_loop = stack({{"shut_down", 0x81, 0x9700}, {"main", 0x44, 0x9f00}});
const auto in_callback =
    stack({{"handler", 0x51, 0x9100}, {"do_run_one", 0x22, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}});

}  // namespace

TEST_CASE("waits that turn out to be the loop's own part an iteration, others do not")
{
    auto facts = iteration();
    facts.parks = {park(own_sp, 1'300, 1'500)};
    const auto parts = part_iteration(facts, known());
    REQUIRE(parts.size() == 2);
    CHECK(parts[0].start_ns == 1'000 * ms);
    CHECK(parts[0].end_ns == 1'300 * ms);
    CHECK(parts[1].start_ns == 1'500 * ms);
    CHECK(parts[1].end_ns == 2'000 * ms);
    facts.parks = {park(callback_sp, 1'300, 1'500)};
    const auto whole = part_iteration(facts, known());
    REQUIRE(whole.size() == 1);
    CHECK(whole[0].end_ns == 2'000 * ms);
}

TEST_CASE("what a program did before its first iteration is taken out of that")
{
    auto facts = blocked(block(callback_sp, 1'200, 300));
    facts.blocks_by_place.push_back(block(own_sp - 64, 400, 500));  // of main
    facts.long_blocks = {{0, 1'200 * ms, 1'500 * ms, {}, {}}, {1, 400 * ms, 900 * ms, {}, {}}};
    facts.samples = {{after_loop, 950 * ms, 10 * ms}, {in_callback, 1'600 * ms, 10 * ms}};
    facts.other_blocked_ns = 70 * ms;
    facts.blocked_ns = (300 + 500 + 70) * ms;
    facts.runq_ns = 130 * ms;
    const TimeOff before = {70 * ms, 100 * ms, 0, 0};
    const auto parts = part_iteration(facts, known(), &before);
    REQUIRE(parts.size() == 1);
    CHECK(parts[0].start_ns == 1'000 * ms);
    CHECK(parts[0].blocked_ns == 300 * ms);
    CHECK(parts[0].other_blocked_ns == 0);
    CHECK(parts[0].runq_ns == 30 * ms);
    CHECK(parts[0].long_blocks.size() == 1);
    CHECK(parts[0].samples.size() == 1);
    CHECK(parts[0].blocks_by_place[1].count == 0);
}

TEST_CASE("an iteration that blocks in a callback is one, with that block")
{
    auto facts = blocked(block(callback_sp, 1'100, 800));
    auto sites = known();
    CHECK(judge_iteration(facts, sites) == Iteration::real);
    CHECK(facts.blocks_by_place[0].count == 1);
    CHECK(facts.blocked_ns == 800 * ms);
    facts.unclear = true;
    CHECK(judge_iteration(facts, sites) == Iteration::unclear);
}

TEST_CASE("a sleep of the loop's own parts an iteration, and of the two parts the first may be slow")
{
    struct Case {
        std::uint64_t start_ms, total_ms, count;
        Iteration becomes;
    };
    const auto one = GENERATE(Case{1'050, 920, 1, Iteration::none},     // awake for less than the threshold
                              Case{1'090, 850, 1, Iteration::none},     // neither part is slow
                              Case{1'200, 750, 1, Iteration::real},     // the first is
                              Case{1'050, 200, 1, Iteration::unclear},  // the second is
                              Case{1'200, 300, 1, Iteration::unclear},  // both are
                              Case{1'200, 300, 2, Iteration::unclear},  // there are more than two parts
                              Case{900, 300, 1, Iteration::unclear});   // it began before the iteration
    CAPTURE(one.start_ms, one.total_ms, one.count);
    auto facts = blocked(block(own_sp, one.start_ms, one.total_ms, one.count));
    auto sites = known();
    CHECK(judge_iteration(facts, sites) == one.becomes);
    if (one.becomes != Iteration::real) return;
    CHECK(facts.end_ns == one.start_ms * ms);
    CHECK(facts.blocked_ns == 0);
    CHECK(facts.blocks_by_place[0].count == 0);
}

TEST_CASE("blocks that lie before an iteration, or behind its end, are no part of it")
{
    auto sites = known();
    auto facts = blocked(block(callback_sp, 700, 300));
    CHECK(judge_iteration(facts, sites) == Iteration::real);
    CHECK(facts.blocked_ns == 0);
    facts = blocked(block(callback_sp, 2'000, 300));
    CHECK(judge_iteration(facts, sites) == Iteration::real);
    CHECK(facts.blocked_ns == 0);
    facts = blocked(block(own_sp, 2'000, 300));
    CHECK(judge_iteration(facts, sites) == Iteration::real);
    CHECK(facts.blocked_ns == 0);
    CHECK(facts.end_ns == 2'000 * ms);
}

TEST_CASE("waits for the loop's own locks are no findings, those of its callbacks are")
{
    auto sites = known();
    constexpr std::uint64_t condition = 0x5000;
    sites.judge(at(futex, 0x8400), stack({{"do_run_one", 0x22, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}}),
                condition + 40);
    const auto singles = [&](std::uint64_t lock) {
        auto lock_wait = block(callback_sp, 1'100, 50);
        lock_wait.syscall = futex;
        lock_wait.args[0] = lock;
        lock_wait.stack = in_callback;
        auto facts = blocked(lock_wait);
        facts.long_blocks.push_back({0, 1'100 * ms, 1'150 * ms, {}, {}});
        CHECK(judge_iteration(facts, sites) == Iteration::real);
        return facts.long_blocks.size();
    };
    CHECK(singles(condition + 16) == 0);
    CHECK(singles(0x6000) == 1);
}

TEST_CASE("what a thread does after its loop is taken out of its last iteration")
{
    auto sites = known();
    auto after = block(callback_sp, 1'500, 400), before = block(callback_sp + 8, 1'100, 200);
    after.stack = after_loop;
    before.stack = in_callback;
    auto facts = blocked(after);
    facts.blocks_by_place.push_back(before);
    facts.blocked_ns = 600 * ms;
    facts.calls.resize(2);
    facts.calls[0].stack = after_loop;
    facts.calls[1].stack = in_callback;
    facts.last = true;
    CHECK(judge_iteration(facts, sites) == Iteration::real);
    CHECK(facts.blocked_ns == 200 * ms);
    CHECK(facts.calls.size() == 1);
    // It has left its loop, and may come back to it.
    facts.last = false;
    facts.samples.resize(1);
    facts.samples[0].stack = after_loop;
    facts.in_progress = true;
    CHECK(judge_iteration(facts, sites) == Iteration::none);
    facts.in_progress = false;
    CHECK(judge_iteration(facts, sites) == Iteration::real);
    // It has come back: main runs it step by step, and what main does is part of its iterations.
    facts.in_progress = true;
    CHECK(judge_iteration(facts, sites) == Iteration::real);
}

TEST_CASE("in each stack of an iteration the loop's frames are marked")
{
    auto facts = blocked(block(callback_sp, 1'100, 50));
    facts.calls.resize(1);
    facts.samples.resize(1);
    for (auto* one : {&facts.blocks_by_place[0].stack, &facts.calls[0].stack, &facts.samples[0].stack})
        *one = in_callback;
    mark_loop(facts, known());
    for (const auto* one : {&facts.blocks_by_place[0].stack, &facts.calls[0].stack, &facts.samples[0].stack}) {
        CHECK_FALSE((*one)[1].of_loop);
        CHECK((*one)[2].of_loop);
    }
}
