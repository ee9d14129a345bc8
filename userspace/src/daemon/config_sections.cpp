// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "daemon/config_keys.hpp"
#include "util/nearest.hpp"

namespace loopwatch {

namespace {

void check_path(const ConfigNode& node, ConfigProblems& problems)
{
    std::string path;
    read_path(node, path, problems);
}

constexpr SinkKey file_sink_keys[] = {
    {{"path", "path", "", "The file; records are appended, an object of JSON a line.", true}, check_path},
};

template <class Section>
std::vector<KeyRow> rows_of()
{
    const auto keys = keys_of<Section>();
    return {keys.begin(), keys.end()};
}

std::vector<KeyRow> sink_rows()
{
    std::vector<KeyRow> rows = {{"type", "text", "", "One of the types below.", true}};
    for (const auto& type : sink_types()) rows.insert(rows.end(), type.keys.begin(), type.keys.end());
    return rows;
}

}  // namespace

std::span<const SinkType> sink_types()
{
    static const SinkType types[] = {
        {"file", "A file of newline-delimited JSON.", file_sink_keys},
    };
    return types;
}

const std::vector<SectionRow>& config_sections()
{
    static const std::vector<SectionRow> sections = {
        {"limits", "What loopwatch may use.", false, rows_of<LimitSettings>()},
        {"defaults", "What holds for each target unless its rule has another value.", false,
         rows_of<DefaultSettings>()},
        {"paths", "Directories.", false, rows_of<PathSettings>()},
        {"target", "Which processes are watched, and how. The first rule that matches a process decides.", true,
         rows_of<TargetRule>()},
        {"target.match", "The conditions of a rule. A list holds if one of its values does.", false,
         rows_of<TargetMatch>()},
        {"sink", "Where findings and statistics are delivered to, beside the journal.", true, sink_rows()},
        {"dump", "When the last minutes before are kept.", true, rows_of<DumpRule>()},
    };
    return sections;
}

std::string nearest_hint(std::string_view word, const std::vector<std::string_view>& names)
{
    const auto nearest = nearest_name(word, names);
    return nearest.empty() ? fmt::format("one of {}", fmt::join(names, ", "))
                           : fmt::format("did you mean {}?", nearest);
}

ConfigNode fallback_table(std::span<const KeyRow> rows)
{
    std::string text;
    for (const auto& row : rows)
        if (!row.fallback.empty()) text += fmt::format("{} = {}\n", row.name, row.fallback);
    ConfigProblems none("");
    auto table = parse_toml(text, none);
    for (auto& entry : table.entries) entry.at = entry.value.at = {};
    return table;
}

void read_rows(const ConfigNode& table, const std::string& path, std::span<const KeyRow> rows, ConfigProblems& problems,
               const std::function<void(std::size_t row, const ConfigNode& value)>& store)
{
    std::vector<std::string_view> names;
    for (const auto& row : rows) names.push_back(row.name);
    std::vector<bool> given(rows.size(), false);
    for (const auto& entry : table.entries) {
        const auto found = std::ranges::find(names, entry.name);
        problems.set_key("");
        if (found == names.end()) {
            problems.add(entry.at, fmt::format("{} is no key of {}", toml_name(entry.name), path),
                         nearest_hint(entry.name, names));
            continue;
        }
        const auto row = static_cast<std::size_t>(found - names.begin());
        given[row] = true;
        problems.set_key(fmt::format("{}.{}", path, entry.name));
        store(row, entry.value);
    }
    problems.set_key("");
    for (std::size_t row = 0; row < rows.size(); ++row)
        if (rows[row].required && !given[row])
            problems.add(table.at, fmt::format("{} has no {}", path, rows[row].name), std::string(rows[row].doc));
}

}  // namespace loopwatch
