// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_node.hpp"

#include <fmt/format.h>

#include <iterator>

namespace loopwatch {

namespace {

constexpr std::string_view bare_characters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

template <class Items, class Write>
std::string joined(const Items& items, const char* open, const char* close, Write write)
{
    std::string text = open;
    const char* separator = "";
    for (const auto& item : items) text += std::exchange(separator, ", ") + write(item);
    return text + close;
}

}  // namespace

std::string_view kind_name(const ConfigNode& node)
{
    switch (node.kind) {
        case ConfigNode::Kind::text: return "a text";
        case ConfigNode::Kind::integer: return "an integer";
        case ConfigNode::Kind::real: return "a number";
        case ConfigNode::Kind::boolean: return "a boolean";
        case ConfigNode::Kind::time: return "a date or time";
        case ConfigNode::Kind::array: return "a list";
        case ConfigNode::Kind::table: return "a table";
    }
    return "";
}

std::string toml_quoted(std::string_view text)
{
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            quoted += {'\\', c};
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            fmt::format_to(std::back_inserter(quoted), "\\u{:04x}", static_cast<unsigned>(c));
        else
            quoted += c;
    }
    return quoted + '"';
}

std::string toml_name(std::string_view name)
{
    const bool bare = !name.empty() && name.find_first_not_of(bare_characters) == name.npos;
    return bare ? std::string(name) : toml_quoted(name);
}

std::string toml_text(const ConfigNode& node)
{
    switch (node.kind) {
        case ConfigNode::Kind::text:
        case ConfigNode::Kind::time: return toml_quoted(node.text);
        case ConfigNode::Kind::integer: return fmt::format("{}", node.integer);
        case ConfigNode::Kind::real: return fmt::format("{}", node.real);
        case ConfigNode::Kind::boolean: return node.boolean ? "true" : "false";
        case ConfigNode::Kind::array: return joined(node.items, "[", "]", toml_text);
        case ConfigNode::Kind::table:
            return joined(node.entries, "{", "}", [](const ConfigEntry& entry) {
                return toml_name(entry.name) + " = " + toml_text(entry.value);
            });
    }
    return {};
}

std::string ConfigProblem::line() const
{
    const auto text = fmt::format("{}: {}", where, what);
    return hint.empty() ? text : fmt::format("{} ({})", text, hint);
}

std::string ConfigProblems::where(ConfigPosition at) const
{
    return at.line == 0 ? source_ : fmt::format("{}:{}:{}", source_, at.line, at.column);
}

void ConfigProblems::add(ConfigPosition at, std::string what, std::string hint)
{
    const bool continues = what.starts_with("is ") || what.starts_with("has ");
    if (!key_.empty()) what = key_ + (continues ? " " : ": ") + what;
    if (all_.size() < most_problems)
        all_.push_back({where(at), std::move(what), std::move(hint)});
    else
        all_.back() = {source_, fmt::format("{} more errors", ++left_out_ + 1), "mend those above first"};
}

void ConfigProblems::add_all(const ConfigProblems& others)
{
    all_.insert(all_.end(), others.all_.begin(), others.all_.end());
}

}  // namespace loopwatch
