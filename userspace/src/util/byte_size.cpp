// SPDX-License-Identifier: Apache-2.0
#include "util/byte_size.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string>
#include <utility>

namespace loopwatch {

namespace {

constexpr std::pair<std::string_view, std::uint64_t> size_units[] = {
    {"B", 1},         {"KiB", 1ull << 10}, {"MiB", 1ull << 20},   {"GiB", 1ull << 30},       {"TiB", 1ull << 40},
    {"kB", 1'000ull}, {"MB", 1'000'000},   {"GB", 1'000'000'000}, {"TB", 1'000'000'000'000},
};
constexpr double most_bytes = 9.2e18;  // below 2^63: sizes are also subtracted

Error bad_size(std::string_view text, std::string_view wrong, std::string hint)
{
    return {ExitCode::usage, fmt::format("\"{}\" {}", text, wrong), std::move(hint)};
}

}  // namespace

Result<std::uint64_t> parse_byte_size(std::string_view text)
{
    static const std::string example = "write a number with a unit, such as 512MiB or 64KiB";
    const auto length = std::min(text.find_first_not_of("0123456789."), text.size());
    const auto number = text.substr(0, length), unit = text.substr(length);
    double value = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (number.empty() || error != std::errc() || end != number.data() + number.size())
        return bad_size(text, "is not a size", example);
    if (unit.empty()) return bad_size(text, "has no unit", fmt::format("did you mean {}MiB?", text));
    const auto* const known = std::find_if(std::begin(size_units), std::end(size_units),
                                           [&](const auto& each) { return each.first == unit; });
    if (known == std::end(size_units))
        return bad_size(text, "is not a size", fmt::format("\"{}\" is no unit; use B, KiB, MiB, GiB or TiB", unit));
    const double bytes = value * static_cast<double>(known->second);
    if (bytes > most_bytes) return bad_size(text, "is too large", "at most 8 EiB");
    if (bytes < 1) return bad_size(text, "is not a positive size", example);
    return static_cast<std::uint64_t>(bytes);
}

}  // namespace loopwatch
