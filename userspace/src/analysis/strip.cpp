// SPDX-License-Identifier: Apache-2.0
#include "analysis/strip.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace loopwatch {

std::uint8_t hold_level(std::uint64_t ns)
{
    if (ns < 1000) return 0;
    return static_cast<std::uint8_t>(std::min(255.0, std::floor(8 * std::log2(static_cast<double>(ns) / 1000))));
}

std::string base64(const std::vector<std::uint8_t>& bytes)
{
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const auto byte = [&](std::size_t i) { return at + i < bytes.size() ? unsigned{bytes[at + i]} : 0u; };
        const auto group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (unsigned i = 0; i < 4; ++i) text += at + i <= bytes.size() ? digits[group >> (18 - 6 * i) & 63] : '=';
    }
    return text;
}

void Strip::add(std::uint64_t longest_ns)
{
    if (levels_.size() < most_steps) levels_.push_back(hold_level(longest_ns));
}

std::string Strip::take()
{
    return base64(std::exchange(levels_, {}));
}

}  // namespace loopwatch
