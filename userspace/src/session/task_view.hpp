// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <lw_event.h>

#include "target/memory.hpp"

namespace loopwatch {

// A struct lw_task as read_task of bpf/lw_target.bpf.h sees it, from here. id 0: unreadable.
lw_task_view view_task(std::uint64_t address, const Memory& memory);

}  // namespace loopwatch
