// SPDX-License-Identifier: Apache-2.0
#include "resolve/captured_stack.hpp"

#include <algorithm>
#include <utility>

namespace loopwatch {

namespace {

constexpr std::uint64_t page = 4096;

}  // namespace

CapturedStack captured_stack(std::uint32_t pid, RawStack stack)
{
    CapturedStack captured;
    captured.pid = pid;
    std::ranges::copy(stack.registers.dwarf, captured.dwarf_registers);
    captured.base = stack.base;
    captured.bytes = std::move(stack.bytes);
    captured.truncated = stack.truncated;
    return captured;
}

std::vector<std::uint64_t> call_sites(std::span<const std::uint64_t> return_addresses)
{
    std::vector<std::uint64_t> calls(return_addresses.begin(), return_addresses.end());
    for (auto& call : calls) --call;
    return calls;
}

std::vector<std::uint8_t> copy_stack(std::uint64_t from, std::uint64_t top, const Memory& memory)
{
    constexpr std::uint64_t most = RawStack::max_bytes;
    const auto want = top > from ? std::min(top + RawStack::above_loop - from, most) : most;
    std::vector<std::uint8_t> bytes(want);
    std::uint64_t done = 0;
    while (done < want) {
        const auto step = std::min(page - (from + done) % page, want - done);
        if (!memory.read(from + done, bytes.data() + done, step)) break;
        done += step;
    }
    bytes.resize(done);
    return bytes;
}

RawStack copy_stack(const Registers& registers, std::uint64_t top, const Memory& memory)
{
    RawStack stack{registers, registers.sp(), false, copy_stack(registers.sp(), top, memory)};
    stack.truncated = stack.base + stack.bytes.size() < top;
    return stack;
}

}  // namespace loopwatch
