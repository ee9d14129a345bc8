// SPDX-License-Identifier: Apache-2.0
#include "analysis/pieces.hpp"

#include <algorithm>
#include <utility>

namespace loopwatch {

void take_out(BlockFacts& block, DispatchFacts& facts)
{
    facts.blocked_ns -= std::min(facts.blocked_ns, block.total_ns);
    block.total_ns = block.longest_ns = block.count = 0;
    const auto place = static_cast<std::size_t>(&block - facts.blocks_by_place.data());
    std::erase_if(facts.long_blocks, [&](const SingleBlock& single) { return single.place == place; });
}

namespace {

DispatchFacts piece_of(DispatchFacts facts, std::span<const ParkFacts> own_waits, std::uint64_t from,
                       std::uint64_t until)
{
    const auto outside = [&](std::uint64_t start_ns, std::uint64_t end_ns) {
        return end_ns <= from || start_ns >= until;
    };
    facts.start_ns = from;
    facts.end_ns = until;
    facts.parks.clear();
    for (auto& block : facts.blocks_by_place) {
        const auto waits_here = [&](const ParkFacts& park) { return park.ip == block.ip && park.sp == block.sp; };
        if (std::ranges::any_of(own_waits, waits_here)) take_out(block, facts);
    }
    for (const auto& single : facts.long_blocks) {
        auto* const block = facts.place_of(single);
        if (!block || !outside(single.start_ns, single.end_ns) || block->count == 0) continue;
        const auto lasted_ns = std::min(single.end_ns - single.start_ns, block->total_ns);
        block->total_ns -= lasted_ns;
        --block->count;
        block->longest_ns = std::min(block->longest_ns, block->total_ns);
        facts.blocked_ns -= std::min(facts.blocked_ns, lasted_ns);
    }
    std::erase_if(facts.long_blocks,
                  [&](const SingleBlock& single) { return outside(single.start_ns, single.end_ns); });
    for (auto& block : facts.blocks_by_place)
        if (block.count == 1 && outside(block.last_start_ns, block.last_end_ns)) take_out(block, facts);
    std::erase_if(facts.samples, [&](const SampleFacts& sample) { return outside(sample.at_ns, sample.at_ns); });
    facts.blocked_ns = std::min(facts.blocked_ns, until - from);
    facts.runq_ns = std::min(facts.runq_ns, until - from - facts.blocked_ns);
    return facts;
}

}  // namespace

std::vector<DispatchFacts> pieces_between(const DispatchFacts& facts, std::span<const ParkFacts> own_waits,
                                          std::uint64_t threshold_ns)
{
    std::vector<DispatchFacts> pieces;
    std::uint64_t begin = facts.start_ns;
    const auto end_piece = [&](std::uint64_t end_ns) {
        if (end_ns <= begin) return;
        auto piece = piece_of(facts, own_waits, begin, end_ns);
        piece.slow = end_ns - begin >= threshold_ns;
        if (piece.slow || !piece.long_blocks.empty()) pieces.push_back(std::move(piece));
    };
    for (const auto& wait : own_waits) {
        end_piece(wait.since_ns);
        begin = std::max(begin, wait.left_ns);  // one may lie within several of another place
    }
    end_piece(facts.end_ns);
    return pieces;
}

}  // namespace loopwatch
