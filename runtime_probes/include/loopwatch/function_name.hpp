// SPDX-License-Identifier: Apache-2.0
//
// What people call a function, of what compilers write into std::source_location.
#pragma once

#include <cstddef>
#include <string_view>

namespace loopwatch {

// "loopwatch::Task<void> shop::save(Order&)" → "shop::save": without parameters and return type. What g++ writes
// {anonymous} and <lambda()>, clang writes (anonymous namespace) and (anonymous class): no parameters.
constexpr std::string_view short_function(std::string_view pretty) noexcept
{
    std::size_t end = pretty.find('(');
    while (end != pretty.npos && pretty.substr(end).starts_with("(anonymous ")) end = pretty.find('(', end + 1);
    const std::string_view head = pretty.substr(0, end);
    int depth = 0;
    for (std::size_t i = head.size(); i-- > 0;) {
        if (head[i] == '>' || head[i] == ')') ++depth;
        if (head[i] == '<' || head[i] == '(') --depth;
        if (depth == 0 && head[i] == ' ') return head.substr(i + 1);
    }
    return head;
}

}  // namespace loopwatch
