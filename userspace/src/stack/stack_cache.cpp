// SPDX-License-Identifier: Apache-2.0
#include "stack/stack_cache.hpp"

#include <algorithm>
#include <cstring>

#include "util/fnv.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t frame_pointer_register = 6;

// 64-bit words instead of bytes: a stack of 32 KiB has 4,096.
std::uint64_t mix(std::uint64_t hash, std::uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 32;
}

std::size_t bytes_of(const std::vector<Frame>& frames)
{
    std::size_t bytes = sizeof frames;
    for (const auto& frame : frames)
        bytes += sizeof frame + frame.function.capacity() + frame.module.capacity() + frame.build_id.capacity() +
                 frame.file.capacity() + frame.called.capacity();
    return bytes;
}

}  // namespace

CodeRanges::CodeRanges(std::span<const ModuleMapping> modules)
{
    static std::uint64_t generations = 0;
    generation_ = ++generations;
    for (const auto& module : modules) ranges_.emplace_back(module.start, module.end);
    std::ranges::sort(ranges_);
}

bool CodeRanges::contain(std::uint64_t address) const
{
    const auto behind = std::ranges::upper_bound(ranges_, address, {}, [](const auto& range) { return range.first; });
    return behind != ranges_.begin() && address < std::prev(behind)->second;
}

StackCache::Key StackCache::key_of(const CapturedStack& stack, const CodeRanges& code)
{
    const auto& registers = stack.dwarf_registers;
    const auto sp = registers[CapturedStack::sp_register], frame_pointer = registers[frame_pointer_register];
    std::uint64_t hash = mix(fnv1a_begin, registers[CapturedStack::pc_register]);
    // What the innermost function may be unwound by, and how much there is to be unwound.
    const bool on_stack = frame_pointer >= stack.base && frame_pointer - stack.base < stack.bytes.size();
    hash = mix(hash, on_stack ? frame_pointer - sp : 0);
    hash = mix(hash, stack.bytes.size() << 1 | stack.truncated);
    hash = mix(hash, stack.base - sp);
    for (std::size_t at = 0; at + sizeof(std::uint64_t) <= stack.bytes.size(); at += sizeof(std::uint64_t)) {
        std::uint64_t word = 0;
        std::memcpy(&word, stack.bytes.data() + at, sizeof word);
        if (code.contain(word)) hash = mix(mix(hash, at), word);
    }
    return {code.generation(), hash};
}

std::optional<std::vector<Frame>> StackCache::find(const Key& key, const CapturedStack& stack)
{
    const auto* const known = frames_.find(key);
    if (!known) return std::nullopt;
    ++hits_;
    auto frames = *known;
    for (auto& frame : frames)
        if (frame.cfa) frame.cfa += stack.dwarf_registers[CapturedStack::sp_register];
    return frames;
}

void StackCache::keep(const Key& key, const std::vector<Frame>& frames, std::uint64_t sp)
{
    const auto of_file = [](const Frame& frame) { return !frame.module.empty(); };
    if (frames.empty() || !std::ranges::all_of(frames, of_file)) return;
    auto kept = frames;
    for (auto& frame : kept)
        if (frame.cfa) frame.cfa -= sp;
    const auto bytes = bytes_of(kept);
    frames_.keep(key, std::move(kept), bytes);
}

}  // namespace loopwatch
