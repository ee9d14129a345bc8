// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>

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

// Outside the file all is text. What is no value of that kind stays text, for which its reader has an error.
ConfigNode typed_as(ConfigNode::Kind kind, const std::string& text)
{
    using Kind = ConfigNode::Kind;
    ConfigNode node;
    node.text = text;
    const auto parsed = [&text](auto& value) {
        const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        return error == std::errc() && stop == text.data() + text.size();
    };
    if (kind == Kind::integer || kind == Kind::real) {
        if (parsed(node.integer))
            node.kind = Kind::integer;
        else if (parsed(node.real))
            node.kind = Kind::real;
    } else if (kind == Kind::boolean && (text == "true" || text == "false")) {
        node.kind = Kind::boolean;
        node.boolean = text == "true";
    } else if (kind == Kind::array) {
        node.kind = Kind::array;
        for (std::size_t begin = 0; begin < text.size();) {
            const auto end = std::min(text.find(',', begin), text.size());
            node.items.emplace_back().text = text.substr(begin, end - begin);
            begin = end + 1;
        }
    }
    return node;
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
    const auto dot = key.find('.');
    const auto row = std::ranges::find(config_sections(), key.substr(0, dot), &SectionRow::name);
    const auto fallbacks = fallback_table(row->keys);
    const auto fallback = std::ranges::find(fallbacks.entries, key.substr(dot + 1), &ConfigEntry::name);
    auto table = empty_table();
    table.entries.push_back({key.substr(dot + 1), {}, typed_as(fallback->value.kind, value)});
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
