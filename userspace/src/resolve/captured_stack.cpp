// SPDX-License-Identifier: Apache-2.0
#include "resolve/captured_stack.hpp"

#include <algorithm>

namespace loopwatch {

namespace {

constexpr std::uint64_t page = 4096;

}  // namespace

CapturedStack captured_stack(std::uint32_t pid, const lw_stack& stack, std::vector<std::uint8_t> bytes)
{
    CapturedStack captured;
    captured.pid = pid;
    std::copy(std::begin(stack.registers.dwarf), std::end(stack.registers.dwarf), captured.dwarf_registers);
    captured.base = stack.base;
    captured.bytes = std::move(bytes);
    captured.truncated = stack.truncated != 0;
    return captured;
}

std::vector<std::uint64_t> call_sites(std::span<const std::uint64_t> return_addresses)
{
    std::vector<std::uint64_t> calls(return_addresses.begin(), return_addresses.end());
    for (auto& call : calls) --call;
    return calls;
}

std::vector<std::uint8_t> copy_stack(lw_stack& stack, std::uint64_t sp, std::uint64_t top, const Memory& memory)
{
    stack.base = sp;
    const auto want = top > sp ? std::min<std::uint64_t>(top + LW_ABOVE_LOOP - sp, LW_STACK_BYTES) : LW_STACK_BYTES;
    std::vector<std::uint8_t> bytes(want);
    std::uint64_t done = 0;
    while (done < want) {
        const auto step = std::min(page - (sp + done) % page, want - done);
        if (!memory.read(sp + done, bytes.data() + done, step)) break;
        done += step;
    }
    bytes.resize(done);
    stack.bytes = static_cast<std::uint32_t>(done);
    stack.truncated = sp + done < top;
    return bytes;
}

}  // namespace loopwatch
