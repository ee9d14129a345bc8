// SPDX-License-Identifier: Apache-2.0
//
// From the ring's bytes to observations. A record that is too short for its kind, or claims more bytes than it has, is
// no event.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "collect/observation.hpp"

namespace loopwatch {

// Hands over the record's events, in most cases one; returns how many. 0: it is none of ours, or what it says about its
// size is not so.
std::size_t decode(std::span<const std::uint8_t> bytes, const std::function<void(const Event&)>& handle);

}  // namespace loopwatch
