// SPDX-License-Identifier: Apache-2.0
//
// What people call a function, of what compilers write into std::source_location.
#pragma once

#include <cstddef>
#include <string_view>

namespace loopwatch {

// "loopwatch::Task<void> shop::save(Order&)" → "shop::save": without parameters and return type.
constexpr std::string_view short_function(std::string_view pretty) noexcept
{
    const std::string_view head = pretty.substr(0, pretty.find('('));
    int depth = 0;
    for (std::size_t i = head.size(); i-- > 0;) {
        if (head[i] == '>') ++depth;
        if (head[i] == '<') --depth;
        if (depth == 0 && head[i] == ' ') return head.substr(i + 1);
    }
    return head;
}

}  // namespace loopwatch
