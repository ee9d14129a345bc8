// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "daemon/config_keys.hpp"
#include "daemon/config_loading.hpp"
#include "util/nearest.hpp"

namespace loopwatch {

namespace {

std::string upper_case(std::string_view text)
{
    std::string upper(text);
    std::ranges::transform(upper, upper.begin(),
                           [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); });
    return upper;
}

ConfigNode empty_table()
{
    ConfigNode table;
    table.kind = ConfigNode::Kind::table;
    return table;
}

// The keys of the sections that are there once: what the environment and options may set.
std::vector<std::string> single_keys()
{
    std::vector<std::string> keys;
    for (const auto& section : config_sections())
        for (const auto& key : section.keys)
            if (!section.repeated && section.name != "target.match")
                keys.push_back(fmt::format("{}.{}", section.name, key.name));
    return keys;
}

std::string environment_name(std::string_view key)
{
    auto name = "LOOPWATCH_" + upper_case(key);
    std::ranges::replace(name, '.', '_');
    return name;
}

std::string meant(std::string_view word, const std::vector<std::string>& names)
{
    const std::vector<std::string_view> views(names.begin(), names.end());
    const auto nearest = nearest_name(word, views);
    return nearest.empty() ? "loopwatch config reference lists them" : fmt::format("did you mean {}?", nearest);
}

}  // namespace

void ConfigLoading::set_text(const std::string& key, const std::string& value, const std::string& origin)
{
    ConfigNode node;
    node.text = value;
    node.loose = true;
    const auto dot = key.find('.');
    auto table = empty_table();
    table.entries.push_back({key.substr(dot + 1), {}, node});
    ConfigProblems problems(origin);
    single_section(key.substr(0, dot), table, problems);
    set(key.substr(0, dot), table.entries.front(), origin);
    take(problems);
}

void ConfigLoading::environment(const std::vector<std::string>& variables)
{
    const auto keys = single_keys();
    std::vector<std::string> names;
    for (const auto& key : keys) names.push_back(environment_name(key));
    for (const auto& variable : variables) {
        const auto name = variable.substr(0, variable.find('='));
        if (!name.starts_with("LOOPWATCH_LIMITS_") && !name.starts_with("LOOPWATCH_DEFAULTS_") &&
            !name.starts_with("LOOPWATCH_PATHS_"))
            continue;
        const auto origin = "env " + name;
        const auto found = std::ranges::find(names, name);
        if (found == names.end()) {
            problem({origin, "is no setting", meant(name, names)});
            continue;
        }
        const auto value = name.size() == variable.size() ? std::string() : variable.substr(name.size() + 1);
        set_text(keys[static_cast<std::size_t>(found - names.begin())], value, origin);
    }
}

void ConfigLoading::options(const std::vector<ConfigOverride>& options)
{
    const auto keys = single_keys();
    for (const auto& [key, value, origin] : options) {
        if (std::ranges::find(keys, key) != keys.end()) {
            set_text(key, value, origin);
            continue;
        }
        problem({origin, fmt::format("\"{}\" is no key", key), meant(key, keys)});
    }
}

}  // namespace loopwatch
