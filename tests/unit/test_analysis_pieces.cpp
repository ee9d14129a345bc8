// SPDX-License-Identifier: Apache-2.0
//
// Iterations that turned out to be several.
#include <vector>

#include <catch2/catch.hpp>

#include "analysis/pieces.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;

// 100 ms, from 1 s on.
DispatchFacts iteration()
{
    DispatchFacts facts;
    facts.start_ns = 1'000 * ms;
    facts.end_ns = 1'100 * ms;
    return facts;
}

ParkFacts wait(std::uint64_t since, std::uint64_t left)
{
    ParkFacts park;
    park.since_ns = since * ms;
    park.left_ns = left * ms;
    return park;
}

BlockFacts block(std::uint64_t count, std::uint64_t total, std::uint64_t last_start, std::uint64_t last_end)
{
    BlockFacts facts;
    facts.count = count;
    facts.total_ns = total * ms;
    facts.longest_ns = (last_end - last_start) * ms;
    facts.last_start_ns = last_start * ms;
    facts.last_end_ns = last_end * ms;
    return facts;
}

}  // namespace

TEST_CASE("of what its loop's own waits leave of an iteration the slow pieces are told")
{
    const std::vector<ParkFacts> waits{wait(1'030, 1'032), wait(1'036, 1'040)};
    const auto pieces = pieces_between(iteration(), waits, 25 * ms);
    REQUIRE(pieces.size() == 2);
    CHECK(pieces[0].start_ns == 1'000 * ms);
    CHECK(pieces[0].end_ns == 1'030 * ms);
    CHECK(pieces[1].start_ns == 1'040 * ms);
    CHECK(pieces[1].end_ns == 1'100 * ms);
    CHECK(pieces[1].slow);
    CHECK(pieces_between(iteration(), waits, 61 * ms).empty());
    // Within several in a row at another place.
    const std::vector<ParkFacts> nested{wait(1'030, 1'070), wait(1'040, 1'041)};
    REQUIRE(pieces_between(iteration(), nested, 25 * ms).size() == 2);
    CHECK(pieces_between(iteration(), nested, 25 * ms)[1].start_ns == 1'070 * ms);
    // One that is all waits is none.
    CHECK(pieces_between(iteration(), std::vector<ParkFacts>{wait(1'000, 1'100)}, 1).empty());
}

TEST_CASE("what blocked in another piece is taken out, what blocked in this one stays")
{
    auto facts = iteration();
    facts.blocks_by_place = {block(1, 50, 1'022, 1'072), block(1, 5, 1'002, 1'007), block(3, 9, 1'085, 1'092),
                             block(7, 15, 1'075, 1'080)};
    facts.blocks_by_place[3].ip = 42;
    facts.long_blocks = {{0, 1'022 * ms, 1'072 * ms, std::nullopt, WokenBy::unknown},
                         {1, 1'002 * ms, 1'007 * ms, std::nullopt, WokenBy::unknown},
                         {2, 1'085 * ms, 1'092 * ms, std::nullopt, WokenBy::unknown},
                         {3, 1'010 * ms, 1'020 * ms, std::nullopt, WokenBy::unknown}};
    facts.samples = {{{}, 1'005 * ms}, {{}, 1'021 * ms}, {{}, 1'090 * ms}};
    facts.blocked_ns = 79 * ms;
    facts.runq_ns = 20 * ms;
    std::vector<ParkFacts> waits{wait(1'010, 1'020), wait(1'075, 1'080)};
    waits[0].ip = waits[1].ip = 42;
    const auto pieces = pieces_between(facts, waits, 25 * ms);
    REQUIRE(pieces.size() == 3);  // two of them for their long block

    const auto& slow = pieces[1];
    CHECK(slow.slow);
    CHECK_FALSE(pieces[0].slow);
    REQUIRE(slow.long_blocks.size() == 1);
    CHECK(slow.long_blocks[0].place == 0);
    CHECK(slow.blocks_by_place[0].total_ns == 50 * ms);
    CHECK(slow.blocks_by_place[1].count == 0);
    // Two more at its place, of which nobody knows when they were.
    CHECK(slow.blocks_by_place[2].count == 2);
    CHECK(slow.blocks_by_place[2].total_ns == 2 * ms);
    CHECK(slow.blocks_by_place[3].count == 0);
    CHECK(slow.blocked_ns == 52 * ms);
    CHECK(slow.runq_ns == 3 * ms);
    CHECK(slow.samples.size() == 1);
}

TEST_CASE("a block whose place is not known keeps its piece, and parts nothing else")
{
    auto facts = iteration();
    facts.blocks_by_place = {block(1, 50, 1'022, 1'072)};
    facts.long_blocks = {{7, 1'022 * ms, 1'072 * ms, std::nullopt, WokenBy::unknown},
                         {8, 1'002 * ms, 1'007 * ms, std::nullopt, WokenBy::unknown}};
    facts.blocked_ns = 55 * ms;
    std::vector waits{wait(1'010, 1'020)};
    waits[0].ip = 42;
    const auto pieces = pieces_between(facts, waits, 25 * ms);
    REQUIRE(pieces.size() == 2);
    CHECK(pieces[1].long_blocks.size() == 1);
    CHECK(pieces[1].blocks_by_place[0].total_ns == 50 * ms);
}
