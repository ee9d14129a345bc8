// SPDX-License-Identifier: Apache-2.0
#include "util/nearest.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace loopwatch {

namespace {

// Longer words are typed by no person, and cost the product of both lengths.
constexpr std::size_t longest_word = 64;

std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
        }
        before.swap(above);
        above.swap(row);
    }
    return above[b.size()];
}

}  // namespace

std::string_view nearest_name(std::string_view word, std::span<const std::string_view> names)
{
    if (word.size() > longest_word) return {};
    std::string_view nearest;
    auto least = std::max<std::size_t>(word.size() / 3, 1) + 1;
    for (const auto name : names) {
        const auto edits = distance(word, name);
        if (edits >= least) continue;
        least = edits;
        nearest = name;
    }
    return nearest;
}

}  // namespace loopwatch
