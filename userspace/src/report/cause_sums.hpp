// SPDX-License-Identifier: Apache-2.0
//
// CauseSums: what held which loop, in exact sums, counted before any rate limit. add() each slow callback → take() once
// an interval. Bounded: of a loop so many causes have a record, the costliest; all others are one, "other".
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "analysis/finding.hpp"

namespace loopwatch {

class CauseSums {
public:
    static constexpr std::size_t most_listed = 20;  // of a loop and interval
    static constexpr std::size_t most_kept = 512;   // the same; beyond, what is new is "other" at once
    static constexpr std::size_t most_loops = 4096;

    explicit CauseSums(std::uint64_t now_ns) : since_ns_(now_ns) {}

    void add(const SlowCallback& slow);
    // Records of causes have the interval of those of their loop, of the same time.
    void add(const LoopStats& stats);
    // Since the last call, of each loop the costliest first.
    std::vector<CauseStats> take(std::uint64_t now_ns);
    // Those of one process, which has ended.
    std::vector<CauseStats> take_of(std::uint32_t pid, std::uint64_t now_ns);
    // Slow callbacks of loops for which there was no room.
    std::uint64_t left_out() const noexcept { return left_out_; }

private:
    struct Causes {
        std::map<std::string, CauseStats> by_fingerprint;
        CauseStats other;
    };
    using LoopKey = std::tuple<std::uint32_t, std::uint32_t, std::string>;  // pid, tid, id

    static void list(Causes& causes, std::uint64_t now_ns, std::uint64_t interval_ns, std::vector<CauseStats>& to);
    CauseStats& cause_of(Causes& causes, const std::string& fingerprint, const Source& source);

    std::map<LoopKey, Causes> loops_;
    std::map<LoopKey, std::uint64_t> intervals_;  // ns that statistics of the loop cover
    std::uint64_t since_ns_;
    std::uint64_t left_out_ = 0;
};

// Lower bounds of histograms: 2^(i/8) ns, so that a value is off by at most 9 %. 0 is a bound of its own.
std::uint64_t eighth_octave_below(std::uint64_t ns);

}  // namespace loopwatch
