// SPDX-License-Identifier: Apache-2.0
#include "target/sleeper.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "target/process.hpp"

namespace loopwatch {

namespace {

std::optional<std::uint64_t> hexadecimal(std::string_view text)
{
    if (!text.starts_with("0x")) return std::nullopt;
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::optional<Sleeper> parse_sleeper(std::string_view text)
{
    Sleeper sleeper;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), sleeper.syscall);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
    std::vector<std::uint64_t> words;
    while (text.starts_with(' ')) {
        text.remove_prefix(1);
        const auto word = text.substr(0, text.find_first_of(" \n"));
        text.remove_prefix(word.size());
        const auto value = hexadecimal(word);
        if (!value) return std::nullopt;
        words.push_back(*value);
    }
    const std::size_t arguments = sleeper.syscall < 0 ? 0 : std::size(sleeper.args);
    if (words.size() != arguments + 2) return std::nullopt;
    std::copy_n(words.begin(), arguments, sleeper.args);
    sleeper.sp = words[arguments];
    sleeper.pc = words[arguments + 1];
    return sleeper;
}

std::optional<Sleeper> sleeper(pid_t pid, std::uint32_t tid)
{
    const auto text = read_proc(pid, fmt::format("task/{}/syscall", tid), 512);
    return text ? parse_sleeper(*text) : std::nullopt;
}

}  // namespace loopwatch
