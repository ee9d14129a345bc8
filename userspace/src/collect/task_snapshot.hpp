// SPDX-License-Identifier: Apache-2.0
//
// A task of a target at one moment, read from outside.
#pragma once

#include <cstdint>

#include "collect/observation.hpp"
#include "target/memory.hpp"

namespace loopwatch {

// A struct lw_task as read_task of bpf/lw_target.bpf.h sees it, from here. id 0: unreadable.
TaskSnapshot view_task(std::uint64_t address, const Memory& memory);

}  // namespace loopwatch
