// SPDX-License-Identifier: Apache-2.0
//
// Reports of one finding each, as a sink gets them.
#pragma once

#include <utility>

#include "analysis/finding.hpp"

namespace loopwatch {

inline Report only(SlowCallback slow)
{
    Findings findings;
    findings.slow = std::move(slow);
    return findings;
}
inline Report only(Stall stall)
{
    Findings findings;
    findings.stall = std::move(stall);
    return findings;
}
inline Report only(BlockingCall call)
{
    Findings findings;
    findings.blocking.push_back(std::move(call));
    return findings;
}

}  // namespace loopwatch
