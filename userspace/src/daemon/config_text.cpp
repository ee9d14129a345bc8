// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "daemon/config_keys.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

using nlohmann::ordered_json;

constexpr std::size_t comment_column = 40;

ordered_json json_of(const ConfigNode& node)
{
    switch (node.kind) {
        case ConfigNode::Kind::text:
        case ConfigNode::Kind::time: return sanitize_utf8(node.text);
        case ConfigNode::Kind::integer: return node.integer;
        case ConfigNode::Kind::real: return node.real;
        case ConfigNode::Kind::boolean: return node.boolean;
        case ConfigNode::Kind::array: {
            auto list = ordered_json::array();
            for (const auto& item : node.items) list.push_back(json_of(item));
            return list;
        }
        case ConfigNode::Kind::table: {
            auto table = ordered_json::object();
            for (const auto& entry : node.entries) table[sanitize_utf8(entry.name)] = json_of(entry.value);
            return table;
        }
    }
    return nullptr;
}

std::string key_table(const std::vector<KeyRow>& keys)
{
    std::string text = "| key | type | default | |\n|---|---|---|---|\n";
    for (const auto& key : keys)
        text += fmt::format("| `{}` | {} | {} | {} |\n", key.name, key.type,
                            key.required           ? "required"
                            : key.fallback.empty() ? "unset"
                                                   : fmt::format("`{}`", key.fallback),
                            key.doc);
    return text;
}

}  // namespace

std::string effective_text(const std::vector<Setting>& settings)
{
    std::string text, header;
    for (const auto& setting : settings) {
        const auto now = setting.index ? fmt::format("{}[{}]", setting.section, *setting.index) : setting.section;
        if (now != header)
            text += fmt::format(fmt::runtime(setting.index ? "{}[[{}]]\n" : "{}[{}]\n"), text.empty() ? "" : "\n",
                                setting.section);
        header = now;
        const auto line = fmt::format("{} = {}", toml_name(setting.name), toml_text(setting.value));
        text += fmt::format("{:<{}}  # {}\n", escape_terminal(line), comment_column, escape_terminal(setting.origin));
    }
    return text;
}

std::string effective_json(const std::vector<Setting>& settings)
{
    auto all = ordered_json::object();
    for (const auto& section : config_sections())
        if (section.name != "target.match")
            all[section.name] = section.repeated ? ordered_json::array() : ordered_json::object();
    for (const auto& setting : settings) {
        auto& section = all[setting.section];
        auto& place = setting.index ? section[*setting.index] : section;
        place[setting.name] = {{"value", json_of(setting.value)}, {"origin", sanitize_utf8(setting.origin)}};
    }
    return escape_json(all.dump());
}

std::string config_reference()
{
    std::string text = fmt::format(
        "# Configuration\n\nTOML, by default in `{}`. Options win over the environment, the environment over the file, "
        "and "
        "that over the defaults.\nIn the environment `limits.cpu` is `LOOPWATCH_LIMITS_CPU`; so for the sections "
        "`limits`, `defaults` and `paths`, with commas in a list.\n",
        default_config_file);
    for (const auto& section : config_sections()) {
        const auto name = section.repeated ? fmt::format("[[{}]]", section.name) : fmt::format("[{}]", section.name);
        const auto keys = section.name == "sink" ? std::vector(section.keys.begin(), section.keys.begin() + 1)
                                                 : std::vector(section.keys);
        text += fmt::format("\n## {}\n\n{}\n\n{}", section.name == "target.match" ? "match" : name, section.doc,
                            key_table(keys));
        if (section.name != "sink") continue;
        for (const auto& type : sink_types())
            text += fmt::format("\n### type = \"{}\"\n\n{}\n\n{}", type.name, type.doc,
                                key_table({type.keys.begin(), type.keys.end()}));
    }
    return text;
}

}  // namespace loopwatch
