// SPDX-License-Identifier: Apache-2.0
#include "report/journal_line.hpp"

#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <system_error>

namespace loopwatch {

namespace {

constexpr std::string_view number_prefix = R"({"seq":)";
constexpr std::string_view segment_prefix = R"({"schema":"loopwatch/1","type":"segment",)";
constexpr std::string_view first_number_prefix = R"("first_seq":)";
constexpr std::string_view stack_fields = R"("schema":"loopwatch/1","type":"stack",)";

std::optional<std::uint64_t> leading_number(std::string_view text)
{
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    return number;
}

}  // namespace

bool append_numbered(std::string_view line, std::uint64_t seq, std::string_view instance, std::string& to)
{
    if (line.ends_with('\n')) line.remove_suffix(1);
    if (line.size() < 2 || line.front() != '{' || line.back() != '}' || line.find('\n') != std::string_view::npos)
        return false;
    const std::string_view separator = line[1] == '}' ? "" : ",";
    fmt::format_to(std::back_inserter(to), R"({{"seq":{},"instance":"{}"{})", seq, instance, separator);
    to += line.substr(1);
    to += '\n';
    return true;
}

std::optional<std::uint64_t> number_of(std::string_view line)
{
    if (!line.starts_with(number_prefix)) return std::nullopt;
    return leading_number(line.substr(number_prefix.size()));
}

std::optional<std::uint64_t> first_number_of(std::string_view line)
{
    if (!line.starts_with(segment_prefix)) return std::nullopt;
    const auto at = line.find(first_number_prefix);
    if (at == std::string_view::npos) return std::nullopt;
    return leading_number(line.substr(at + first_number_prefix.size()));
}

bool is_stack_line(std::string_view line)
{
    return line.substr(0, numbering_bytes + stack_fields.size()).find(stack_fields) != std::string_view::npos;
}

}  // namespace loopwatch
