// SPDX-License-Identifier: Apache-2.0
//
// An iteration, as the shim saw it, in which the loop itself waited: that it does so in that place turned out later. It
// was two iterations, or more.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "collect/dispatch_book.hpp"

namespace loopwatch {

// What lies between the idle calls of a bundle, as far as it is worth reporting: slow, or with calls. Nothing if short
// idle calls were summed, as it is not known what lies between those. `is_idle`: of the caller of a call.
std::vector<DispatchBundle> split_at_idle(const DispatchBundle& bundle,
                                          const std::function<bool(std::uint64_t)>& is_idle,
                                          std::uint64_t threshold_ns);

}  // namespace loopwatch
