// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "daemon/config_node.hpp"

// Its headers, not its library: without exceptions the two do not fit together.
#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

namespace loopwatch {

namespace {

ConfigPosition position(const toml::source_region& source)
{
    return {source.begin.line, source.begin.column};
}

// toml++ refuses what is nested more than 256 deep, so this recursion ends.
ConfigNode converted(const toml::node& node)
{
    ConfigNode result;
    result.at = position(node.source());
    using Kind = ConfigNode::Kind;
    if (const auto* const text = node.as_string()) {
        result.text = text->get();
    } else if (const auto* const integer = node.as_integer()) {
        result.kind = Kind::integer;
        result.integer = integer->get();
    } else if (const auto* const real = node.as_floating_point()) {
        result.kind = Kind::real;
        result.real = real->get();
    } else if (const auto* const boolean = node.as_boolean()) {
        result.kind = Kind::boolean;
        result.boolean = boolean->get();
    } else if (const auto* const array = node.as_array()) {
        result.kind = Kind::array;
        for (const auto& item : *array) result.items.push_back(converted(item));
    } else if (const auto* const table = node.as_table()) {
        result.kind = Kind::table;
        for (const auto& [key, value] : *table)
            result.entries.push_back({std::string(key.str()), position(key.source()), converted(value)});
        std::ranges::stable_sort(result.entries, {}, &ConfigEntry::at);
    } else {
        result.kind = Kind::time;
    }
    return result;
}

}  // namespace

ConfigNode parse_toml(std::string_view text, ConfigProblems& problems)
{
    const auto parsed = toml::parse(text);
    if (parsed) return converted(parsed.table());
    problems.add(position(parsed.error().source()), std::string(parsed.error().description()),
                 "the file is in TOML 1.0");
    ConfigNode none;
    none.kind = ConfigNode::Kind::table;
    return none;
}

}  // namespace loopwatch
