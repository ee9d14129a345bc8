// SPDX-License-Identifier: Apache-2.0
//
// Stacks on their way to the symbol worker: as the kernel side copied them, or copied from here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <lw_event.h>

#include "stack/symbol_worker.hpp"
#include "target/memory.hpp"

namespace loopwatch {

CapturedStack captured_stack(std::uint32_t pid, const lw_stack& stack, std::vector<std::uint8_t> bytes);

// Addresses within the calls that return to these.
std::vector<std::uint64_t> call_sites(std::span<const std::uint64_t> return_addresses);

// The bytes from `sp` to just above `top` (the loop's own frame; 0: unknown), page by page, as the kernel side copies
// them; base, length and whether they end too early go into `stack`.
std::vector<std::uint8_t> copy_stack(lw_stack& stack, std::uint64_t sp, std::uint64_t top, const Memory& memory);

}  // namespace loopwatch
