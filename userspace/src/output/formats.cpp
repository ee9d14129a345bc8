// SPDX-License-Identifier: Apache-2.0
#include "output/formats.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace loopwatch {

namespace {

struct FormatRow {
    std::string_view name;
    std::unique_ptr<Encoder> (*make)(const EncoderOptions&);
};
#define LW_FORMAT(name, make) {name, make},
constexpr FormatRow format_rows[] = {LW_FORMATS(LW_FORMAT)};
#undef LW_FORMAT

}  // namespace

std::unique_ptr<Encoder> make_encoder(std::string_view format, const EncoderOptions& options)
{
    const auto* const row = std::ranges::find(format_rows, format, &FormatRow::name);
    return row == std::end(format_rows) ? nullptr : row->make(options);
}

std::string format_names(std::string_view between)
{
    std::vector<std::string_view> names;
    for (const auto& row : format_rows) names.push_back(row.name);
    return fmt::format("{}", fmt::join(names, between));
}

}  // namespace loopwatch
