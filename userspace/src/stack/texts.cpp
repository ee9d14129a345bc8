// SPDX-License-Identifier: Apache-2.0
#include "stack/texts.hpp"

#include <utility>

namespace loopwatch {

void SentTexts::begin_answer()
{
    // One answer's worth is left: 1,024 frames of four texts of 4 KiB.
    if (numbers_.size() > max_texts / 2 || bytes_ > max_texts_bytes / 2) {
        numbers_.clear();
        bytes_ = 0;
    }
    first_ = static_cast<std::uint32_t>(numbers_.size());
    fresh_.clear();
}

std::uint32_t SentTexts::number_of(const std::string& text)
{
    const auto [known, fresh] = numbers_.try_emplace(text, static_cast<std::uint32_t>(numbers_.size()));
    if (fresh) {
        bytes_ += text.size();
        fresh_.push_back(text);
    }
    return known->second;
}

bool KnownTexts::learn(std::uint64_t first, std::vector<std::string> fresh)
{
    if (first == 0) {
        texts_.clear();
        bytes_ = 0;
    }
    if (first != texts_.size()) return false;
    for (auto& text : fresh) {
        bytes_ += text.size();
        if (texts_.size() >= max_texts || bytes_ > 4 * max_texts_bytes) return false;
        texts_.push_back(std::move(text));
    }
    return true;
}

}  // namespace loopwatch
