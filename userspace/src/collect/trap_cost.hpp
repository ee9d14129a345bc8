// SPDX-License-Identifier: Apache-2.0
//
// What a hit of a probe costs on this machine, measured on ourselves before anybody else pays it: on virtual machines a
// trap can cost ten times what it does on others.
#pragma once

#include <cstdint>

#include "collect/attach.hpp"

namespace loopwatch {

struct TrapCost {
    std::uint64_t simple_ns = 540;    // where the kernel does what the instruction under the probe does (push, nop)
    std::uint64_t stepped_ns = 1500;  // and where it has the processor do it, by a second trap
};

// Hits two functions of this process a few hundred times each, about 2 ms. Typical figures where that fails.
TrapCost measure_traps(const bpf_program* program, AttachRung rung);

// Does a body that begins with these bytes need a second trap a hit?
bool is_stepped(const std::uint8_t (&code)[4]);

}  // namespace loopwatch
