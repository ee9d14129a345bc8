// SPDX-License-Identifier: Apache-2.0
//
// What an Asio operation that a task waits for is called.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace loopwatch::detail {

// The function that starts the operation, from the type of what it starts it with: "async_write" of
// "…::initiate_async_write_buffer_sequence".
template <class Initiation>
constexpr std::array<char, 40> operation_name() noexcept
{
    constexpr std::string_view type(__PRETTY_FUNCTION__), before("initiate_"), prefix("async_");
    std::array<char, 40> name{};
    const std::size_t at = type.rfind(before);
    if (at == std::string_view::npos) return {"an operation"};
    std::string_view word = type.substr(at + before.size());
    word = word.substr(0, word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"));
    // Which of its overloads is Asio's own affair.
    for (const std::string_view overload : {"_buffer_sequence", "_dynbuf", "_streambuf", "_match", "_expr", "_delim"})
        word = word.substr(0, word.find(overload));
    std::string_view rest = word.starts_with(prefix) ? word.substr(prefix.size()) : "";
    for (const std::string_view overload : {"move_", "iterator_", "range_"})
        if (rest.starts_with(overload)) rest.remove_prefix(overload.size());
    std::size_t i = 0;
    const auto append = [&](std::string_view part) {
        for (const char c : part)
            if (i + 1 < name.size()) name[i++] = c;
    };
    append(rest.empty() ? word : prefix);
    append(rest);
    return name;
}

}  // namespace loopwatch::detail
