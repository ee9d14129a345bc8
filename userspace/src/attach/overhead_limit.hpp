// SPDX-License-Identifier: Apache-2.0
//
// OverheadLimit: holds what probes that are hit all the time (--trace, --coroutines) cost the target against
// --max-overhead.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace loopwatch {

class OverheadLimit {
public:
    OverheadLimit() = default;
    // `cost_ns`: what they have cost by now, such as what it took to measure it.
    OverheadLimit(double most_percent, std::uint64_t started_ns, std::uint64_t cost_ns)
        : most_percent_(most_percent), checked_ns_(started_ns), cost_ns_(cost_ns)
    {
    }

    // `cost_ns`: of all these probes since the start. Percent of a CPU since the last call, if that is too much.
    std::optional<double> exceeded(std::uint64_t cost_ns, std::uint64_t now_ns)
    {
        const double percent = 100.0 * static_cast<double>(cost_ns - cost_ns_) /
                               static_cast<double>(std::max<std::uint64_t>(1, now_ns - checked_ns_));
        cost_ns_ = cost_ns;
        checked_ns_ = now_ns;
        return percent > most_percent_ ? std::optional(percent) : std::nullopt;
    }

private:
    double most_percent_ = 100;
    std::uint64_t checked_ns_ = 0, cost_ns_ = 0;
};

}  // namespace loopwatch
