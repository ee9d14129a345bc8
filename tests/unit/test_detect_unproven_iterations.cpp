// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "detect/unproven_iterations.hpp"

using namespace loopwatch;

namespace {

DispatchFacts iteration(std::uint32_t pid, std::uint32_t tid, std::uint64_t seq)
{
    DispatchFacts facts;
    facts.subject.pid = pid;
    facts.subject.tid = tid;
    facts.seq = seq;
    return facts;
}

bool everything(const Subject&)
{
    return true;
}

}  // namespace

TEST_CASE("iterations are held until their thread has proven to be a loop, and keep their order")
{
    UnprovenIterations unproven;
    unproven.hold(iteration(1, 11, 1));
    unproven.hold(iteration(1, 12, 2));
    unproven.hold(iteration(1, 11, 3));
    CHECK(unproven.take_proven([](const Subject&) { return false; }).empty());

    const auto taken = unproven.take_proven([](const Subject& thread) { return thread.tid == 11; });
    REQUIRE(taken.size() == 2);
    CHECK(taken[0].seq == 1);
    CHECK(taken[1].seq == 3);
    CHECK(unproven.take_proven(everything).size() == 1);
    CHECK(unproven.lost() == 0);
}

TEST_CASE("what never proves to be an iteration is counted; a stall in progress is part of one")
{
    UnprovenIterations unproven;
    unproven.hold(iteration(1, 11, 1));
    auto stall = iteration(2, 21, 1);
    stall.in_progress = true;
    unproven.hold(stall);
    unproven.hold(iteration(2, 21, 1));
    CHECK(unproven.forget([](const Subject& thread) { return thread.pid == 2; }) == 1);
    CHECK(unproven.lost() == 1);
    CHECK(unproven.take_proven(everything).size() == 1);
}

TEST_CASE("a thread, and all of them, have room for so many; the rest is lost")
{
    UnprovenIterations unproven;
    for (std::uint64_t i = 0; i <= UnprovenIterations::most_of_a_thread; ++i) unproven.hold(iteration(1, 11, i));
    CHECK(unproven.lost() == 1);
    for (std::uint32_t tid = 100; tid < 100 + UnprovenIterations::most; ++tid) unproven.hold(iteration(1, tid, 0));
    CHECK(unproven.lost() == 1 + UnprovenIterations::most_of_a_thread);
    CHECK(unproven.take_proven(everything).size() == UnprovenIterations::most);
}

TEST_CASE("held iterations take a bounded number of bytes, and leave some to other processes")
{
    UnprovenIterations unproven;
    const auto deep = [](std::uint32_t pid, std::uint32_t tid) {
        auto facts = iteration(pid, tid, 1);
        facts.samples.resize(10);
        for (auto& sample : facts.samples) sample.stack.resize(1'000);
        return facts;
    };
    for (std::uint32_t tid = 1; tid <= 100; ++tid) unproven.hold(deep(1, tid));
    unproven.hold(deep(2, 200));
    const auto taken = unproven.take_proven(everything);
    CHECK(taken.back().subject.pid == 2);
    std::size_t bytes = 0;
    for (const auto& facts : taken) bytes += bytes_of(facts);
    CHECK(bytes <= UnprovenIterations::max_bytes + UnprovenIterations::assured_bytes);
    CHECK(unproven.lost() == 101 - taken.size());

    unproven.hold(deep(1, 1));
    CHECK(unproven.forget(everything) == 1);
    for (int i = 0; i < 8; ++i) unproven.hold(deep(1, 2));
    CHECK(unproven.take_proven(everything).size() == 8);
}
