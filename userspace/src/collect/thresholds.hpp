// SPDX-License-Identifier: Apache-2.0
//
// From how long on something is reported of a target.
#pragma once

#include <cstdint>

namespace loopwatch {

struct Thresholds {
    std::uint64_t slow_ns = 100'000'000;  // of a callback
    std::uint64_t block_ns = 10'000'000;  // of a single blocking call

    bool operator==(const Thresholds&) const = default;
};

}  // namespace loopwatch
