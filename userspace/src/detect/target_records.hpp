// SPDX-License-Identifier: Apache-2.0
//
// What a session says of a target.
#pragma once

#include <cstdint>

#include "analysis/finding.hpp"
#include "detect/target.hpp"

namespace loopwatch {

// With the warnings so far, which are reported with it.
TargetStart target_start(Target& target);
// The highest floor of its loops: no dispatch below it is reported.
std::uint64_t floor_of(const Target& target);

}  // namespace loopwatch
