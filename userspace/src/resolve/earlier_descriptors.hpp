// SPDX-License-Identifier: Apache-2.0
//
// What the descriptors of a dispatch led to when it was told of as one that goes on. By its end they may be closed, or
// their peer may be gone: its last report is to know no less than the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "analysis/facts.hpp"

namespace loopwatch {

class EarlierDescriptors {
public:
    static constexpr std::size_t max_threads = 256;  // each with one dispatch: some tens of names

    // Of a dispatch that goes on: keeps them. And adds those that are kept of the same dispatch, where it is the same
    // file; of one that has ended they are forgotten.
    void complete(DispatchFacts& facts);

private:
    struct Known {
        std::string target, peer;
    };
    struct Dispatch {
        std::uint32_t pid = 0;
        std::uint64_t seq = 0;
        std::map<std::int32_t, Known> descriptors;
    };
    std::map<std::uint32_t, Dispatch> dispatches_;  // by thread
};

}  // namespace loopwatch
