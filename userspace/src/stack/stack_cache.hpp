// SPDX-License-Identifier: Apache-2.0
//
// StackCache: frames of stacks that were unwound before. Two captured stacks of a process are the same if the same
// addresses of code are at the same distances from the stack pointer. A callback that blocks in one place a thousand
// times a second is unwound once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "stack/symbol_worker.hpp"
#include "util/recent_cache.hpp"

namespace loopwatch {

// Where a process has code, as of one state of its mappings.
class CodeRanges {
public:
    explicit CodeRanges(std::span<const ModuleMapping> modules = {});
    bool contain(std::uint64_t address) const;
    // Differs between any two states that were made.
    std::uint64_t generation() const noexcept { return generation_; }

private:
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;  // [start, end), sorted
    std::uint64_t generation_ = 0;
};

class StackCache {
public:
    static constexpr std::size_t max_bytes = 4u << 20;
    using Key = std::pair<std::uint64_t, std::uint64_t>;  // generation of the code, hash of the stack

    static Key key_of(const CapturedStack& stack, const CodeRanges& code);
    std::optional<std::vector<Frame>> find(const Key& key, const CapturedStack& stack);
    // Not kept if one of them is in code that belongs to no file: that changes without a new mapping.
    void keep(const Key& key, const std::vector<Frame>& frames, std::uint64_t sp);
    std::uint64_t hits() const noexcept { return hits_; }

private:
    RecentCache<Key, std::vector<Frame>> frames_{max_bytes};  // `cfa` is relative to the stack pointer
    std::uint64_t hits_ = 0;
};

}  // namespace loopwatch
