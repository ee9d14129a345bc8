// SPDX-License-Identifier: Apache-2.0
//
// One Source from one fact: a wait as the scheduler saw it, a call as the shim timed it, a heap of samples.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "analysis/facts.hpp"

namespace loopwatch {

// Named by the libc function on its stack, else by its system call; durations and waker are the place's.
Source source_of(const BlockFacts& block);
// As long as the call.
Source source_of(const CallFacts& call);
// Adds to a call what the scheduler saw of it: stack, waker, descriptor, and the kind where its name does not say.
void enrich(Source& call, const Source& wait);

// The samples' heaviest path: the code that burned most, and the most common way to it.
struct HeaviestPath {
    std::vector<Frame> stack;
    std::uint64_t share_percent = 0;  // of the time that all samples stand for
};
std::optional<HeaviestPath> heaviest_path(std::span<const SampleFacts> samples);

}  // namespace loopwatch
