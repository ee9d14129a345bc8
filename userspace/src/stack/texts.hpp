// SPDX-License-Identifier: Apache-2.0
//
// Names that the worker has sent once and the core remembers: a name of C++ may have kilobytes, and the 50 samples of a
// slow dispatch repeat it a thousand times (12 ms of the core's CPU a finding, half of it here). Both ends forget all
// of them when there are too many.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace loopwatch {

inline constexpr std::size_t max_texts = 16'384, max_texts_bytes = 8u << 20;

// The worker's end: text → its number.
class SentTexts {
public:
    // Before an answer: numbers given out from here on belong to it.
    void begin_answer();
    std::uint32_t number_of(const std::string& text);
    // What the answer has to bring: the number of its first new text (0: forget all others), and those texts.
    std::uint32_t first() const noexcept { return first_; }
    const std::vector<std::string>& fresh() const noexcept { return fresh_; }

private:
    std::unordered_map<std::string, std::uint32_t> numbers_;
    std::size_t bytes_ = 0;
    std::uint32_t first_ = 0;
    std::vector<std::string> fresh_;
};

// The core's end, which trusts nobody: number → text.
class KnownTexts {
public:
    // False: not what the other end may say.
    bool learn(std::uint64_t first, std::vector<std::string> fresh);
    const std::string* find(std::uint64_t number) const { return number < texts_.size() ? &texts_[number] : nullptr; }

private:
    std::vector<std::string> texts_;
    std::size_t bytes_ = 0;
};

}  // namespace loopwatch
