// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_loading.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "daemon/config_keys.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t most_sections = 1024;

const ConfigEntry* entry_named(const ConfigNode& table, std::string_view name)
{
    const auto found = std::ranges::find(table.entries, name, &ConfigEntry::name);
    return found == table.entries.end() ? nullptr : &*found;
}

}  // namespace

void ConfigLoading::take(const ConfigProblems& problems)
{
    loaded_.problems.insert(loaded_.problems.end(), problems.all().begin(), problems.all().end());
}

// In the order of the table, whatever order the values come in.
void ConfigLoading::set(std::string_view section, const ConfigEntry& entry, std::string origin)
{
    for (auto& setting : loaded_.settings)
        if (!setting.index && setting.section == section && setting.name == entry.name) {
            setting.value = entry.value;
            setting.origin = std::move(origin);
            return;
        }
    loaded_.settings.push_back({std::string(section), std::nullopt, entry.name, entry.value, std::move(origin)});
}

void ConfigLoading::single_section(std::string_view name, const ConfigNode& table, ConfigProblems& problems)
{
    const std::string path(name);
    if (table.kind != ConfigNode::Kind::table)
        return problems.add(table.at, fmt::format("{} is {}", path, kind_name(table)), fmt::format("write [{}]", path));
    if (name == "limits") read_keys(table, path, loaded_.config.limits, problems);
    if (name == "defaults") read_keys(table, path, loaded_.config.defaults, problems);
    if (name == "paths") read_keys(table, path, loaded_.config.paths, problems);
}

void ConfigLoading::defaults()
{
    for (const auto& section : config_sections()) {
        if (section.repeated || section.name == "target.match") continue;
        ConfigProblems problems("default");
        const auto table = fallback_table(section.keys);
        single_section(section.name, table, problems);
        for (const auto& entry : table.entries) set(section.name, entry, "default");
        take(problems);
    }
}

void ConfigLoading::one_of(const ConfigNode& table, const std::string& path, TargetRule& to, ConfigProblems& problems)
{
    read_keys(table, path, to, problems);
}

void ConfigLoading::one_of(const ConfigNode& table, const std::string& path, DumpRule& to, ConfigProblems& problems)
{
    read_keys(table, path, to, problems);
}

void ConfigLoading::one_of(const ConfigNode& table, const std::string& path, SinkSettings& to, ConfigProblems& problems)
{
    const auto* const type = entry_named(table, "type");
    if (type == nullptr) return problems.add(table.at, path + " has no type", "write type = \"file\"");
    std::vector<std::string> names;
    for (const auto& each : sink_types()) names.emplace_back(each.name);
    const auto found = std::ranges::find(sink_types(), std::string_view(type->value.text), &SinkType::name);
    if (type->value.kind != ConfigNode::Kind::text || found == sink_types().end())
        return problems.add(type->value.at, fmt::format("{} is no type of sink", toml_text(type->value)),
                            fmt::format("the types are: {}", fmt::join(names, ", ")));
    to.type = found->name;
    std::vector<KeyRow> rows(found->keys.begin(), found->keys.end());
    rows.push_back({"type", "text", "", "", true});
    read_rows(table, path, rows, problems, [&](std::size_t row, const ConfigNode& value) {
        if (row >= found->keys.size()) return;
        found->keys[row].check(value, problems);
        to.options.emplace_back(rows[row].name, value.kind == ConfigNode::Kind::text ? value.text : toml_text(value));
    });
}

template <class Section>
void ConfigLoading::repeated(std::string_view name, const ConfigNode& document, std::vector<Section>& to,
                             ConfigProblems& problems)
{
    const auto* const entry = entry_named(document, name);
    if (entry == nullptr) return;
    const auto& list = entry->value;
    const auto is_table = [](const ConfigNode& item) { return item.kind == ConfigNode::Kind::table; };
    if (list.kind != ConfigNode::Kind::array || !std::ranges::all_of(list.items, is_table))
        return problems.add(entry->at, fmt::format("{} is {}", name, kind_name(list)),
                            fmt::format("write [[{}]], once for each", name));
    if (list.items.size() > most_sections)
        return problems.add(entry->at, fmt::format("{} [[{}]]", list.items.size(), name), "at most 1,024");
    const auto fallbacks = fallback_table(std::ranges::find(config_sections(), name, &SectionRow::name)->keys);
    for (std::size_t i = 0; i < list.items.size(); ++i) {
        auto table = list.items[i];
        for (const auto& fallback : fallbacks.entries)
            if (entry_named(table, fallback.name) == nullptr) table.entries.push_back(fallback);
        one_of(table, fmt::format("{}[{}]", name, i), to.emplace_back(), problems);
        for (const auto& [key, at, value] : table.entries)
            loaded_.settings.push_back(
                {std::string(name), i, key, value, at.line == 0 ? "default" : problems.where(at)});
    }
}

void ConfigLoading::file(std::string_view text, const std::string& name)
{
    ConfigProblems problems(name);
    const auto document = parse_toml(text, problems);
    std::vector<std::string_view> names;
    for (const auto& section : config_sections())
        if (section.name != "target.match") names.push_back(section.name);
    for (const auto& [section, at, table] : document.entries) {
        if (std::ranges::find(names, section) == names.end()) {
            problems.add(at, fmt::format("{} is no section", toml_name(section)), nearest_hint(section, names));
            continue;
        }
        const bool is_repeated = std::ranges::find(config_sections(), section, &SectionRow::name)->repeated;
        if (is_repeated) continue;
        single_section(section, table, problems);
        for (const auto& entry : table.entries) set(section, entry, problems.where(entry.at));
    }
    repeated("target", document, loaded_.config.targets, problems);
    repeated("sink", document, loaded_.config.sinks, problems);
    repeated("dump", document, loaded_.config.dumps, problems);
    take(problems);
}

}  // namespace loopwatch
