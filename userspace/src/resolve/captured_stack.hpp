// SPDX-License-Identifier: Apache-2.0
//
// Stacks on their way to the symbol worker: as the kernel side copied them, or copied from here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "collect/observation.hpp"
#include "stack/symbol_worker.hpp"
#include "target/memory.hpp"

namespace loopwatch {

CapturedStack captured_stack(std::uint32_t pid, RawStack stack);

// Addresses within the calls that return to these.
std::vector<std::uint64_t> call_sites(std::span<const std::uint64_t> return_addresses);

// The bytes from `from` to just above `top` (the loop's own frame; 0: unknown), page by page, as the kernel side copies
// them, as far as there are any.
std::vector<std::uint8_t> copy_stack(std::uint64_t from, std::uint64_t top, const Memory& memory);
// The stack of a thread with these registers.
RawStack copy_stack(const Registers& registers, std::uint64_t top, const Memory& memory);

}  // namespace loopwatch
