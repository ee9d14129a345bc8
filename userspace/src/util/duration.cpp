// SPDX-License-Identifier: Apache-2.0
#include "util/duration.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <utility>

namespace loopwatch {
namespace {

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t minute_ns = 60 * second_ns;
constexpr std::uint64_t hour_ns = 60 * minute_ns;
constexpr std::uint64_t day_ns = 24 * hour_ns;
// Times are also subtracted: a duration must fit a signed 64-bit integer.
constexpr std::uint64_t longest_ns = std::numeric_limits<std::int64_t>::max();

constexpr std::pair<std::string_view, std::uint64_t> units[] = {
    {"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", second_ns}, {"m", minute_ns}, {"h", hour_ns}, {"d", day_ns},
};

bool all_digits(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Error usage(std::string_view text, std::string_view wrong, std::string hint)
{
    return {ExitCode::usage, fmt::format("\"{}\" {}", text, wrong), std::move(hint)};
}

// Integer arithmetic: "0.1s" must not become 99,999,999 ns. Empty: does not fit.
std::optional<std::uint64_t> scale(std::string_view whole, std::string_view fraction, std::uint64_t unit_ns)
{
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(whole.data(), whole.data() + whole.size(), value);
    if (!whole.empty() && parsed.ec != std::errc{}) return std::nullopt;
    if (value > longest_ns / unit_ns) return std::nullopt;
    value *= unit_ns;
    // From the last digit to the first, so that no digit overflows; the floors nest.
    std::uint64_t part = 0;
    for (auto digit = fraction.rbegin(); digit != fraction.rend(); ++digit) {
        part = (part + static_cast<std::uint64_t>(*digit - '0') * unit_ns) / 10;
    }
    value += part;
    return value <= longest_ns ? std::optional(value) : std::nullopt;
}

}  // namespace

Result<std::uint64_t> parse_duration(std::string_view text, std::string_view likely_unit)
{
    static const std::string example = "write a number with a unit, such as 50us, 10ms or 1.5s";
    if (text.starts_with('-')) return usage(text, "is negative", example);

    const std::size_t number_length = std::min(text.find_first_not_of("0123456789."), text.size());
    const std::string_view number = text.substr(0, number_length);
    const std::string_view suffix = text.substr(number_length);
    const std::size_t point = std::min(number.find('.'), number.size());
    const std::string_view whole = number.substr(0, point);
    const std::string_view fraction = number.substr(std::min(point + 1, number.size()));
    if ((whole.empty() && fraction.empty()) || !all_digits(fraction)) return usage(text, "is not a duration", example);
    if (number.find_first_of("123456789") == number.npos) return usage(text, "is not a positive duration", example);
    if (suffix.empty()) return usage(text, "has no unit", fmt::format("did you mean {}{}?", text, likely_unit));

    const auto* unit = std::find_if(std::begin(units), std::end(units), [&](auto& u) { return u.first == suffix; });
    if (unit == std::end(units)) {
        return usage(text, "is not a duration", fmt::format("\"{}\" is no unit; use ns, us, ms, s, m, h or d", suffix));
    }
    const auto ns = scale(whole, fraction, unit->second);
    if (!ns) return usage(text, "is too long", "at most 292 years");
    if (*ns == 0) return usage(text, "is not a positive duration", example);
    return *ns;
}

std::string format_duration(std::uint64_t ns)
{
    // Rounded to the unit shown, so that 7,199.9 s is not "119 min 60 s".
    if (ns >= 2 * hour_ns) {
        const std::uint64_t minutes = (ns + minute_ns / 2) / minute_ns;
        return fmt::format("{} h {} min", minutes / 60, minutes % 60);
    }
    if (ns >= 2 * minute_ns) {
        const std::uint64_t seconds = (ns + second_ns / 2) / second_ns;
        return fmt::format("{} min {} s", seconds / 60, seconds % 60);
    }
    for (const auto& [name, unit_ns] : {units[0], units[1], units[2], units[3]}) {
        const double value = static_cast<double>(ns) / static_cast<double>(unit_ns);
        const bool last = unit_ns == second_ns;
        // 999.6 us rounds to 1,000: that is 1 ms.
        if (!last && value >= 999.5) continue;
        std::string text = fmt::format("{:.{}f}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
        if (text.find('.') != std::string::npos) {
            text.erase(text.find_last_not_of('0') + 1);
            if (text.ends_with('.')) text.pop_back();
        }
        return fmt::format("{} {}", text, name);
    }
    return {};
}

}  // namespace loopwatch
