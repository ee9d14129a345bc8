// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "daemon/secret.hpp"
#include "util/byte_size.hpp"
#include "util/duration.hpp"
#include "util/glob.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t longest_value = 256, longest_file_name = 4096;
constexpr std::size_t most_list_items = 256, most_labels = 16;

void refuse_kind(const ConfigNode& node, std::string_view wanted, ConfigProblems& problems)
{
    problems.add(node.at, fmt::format("is {}: {}", kind_name(node), toml_text(node).substr(0, longest_value)),
                 fmt::format("write {}", wanted));
}

void refuse(const ConfigNode& node, std::string_view what, std::string hint, ConfigProblems& problems)
{
    problems.add(node.at, fmt::format("{} {}", toml_text(node).substr(0, longest_value), what), std::move(hint));
}

std::optional<double> number_in(const ConfigNode& node)
{
    if (node.kind == ConfigNode::Kind::integer) return static_cast<double>(node.integer);
    if (node.kind == ConfigNode::Kind::real) return node.real;
    return std::nullopt;
}

bool is_within(double value, NumberRange range)
{
    return value >= range.least && value <= range.most;  // false of NaN
}

std::string range_hint(NumberRange range, const char* unit = "")
{
    return fmt::format("from {}{} to {}{}", range.least, unit, range.most, unit);
}

bool is_text(const ConfigNode& node, std::size_t longest, ConfigProblems& problems, std::string_view wanted)
{
    if (node.kind != ConfigNode::Kind::text) {
        refuse_kind(node, wanted, problems);
        return false;
    }
    if (node.text.empty()) {
        problems.add(node.at, "is empty", fmt::format("write {}", wanted));
        return false;
    }
    if (node.text.size() > longest || node.text.find('\0') != std::string::npos) {
        problems.add(node.at, fmt::format("is longer than {} bytes, or has a NUL in it", longest));
        return false;
    }
    return true;
}

// One, or each of a list.
template <class Take>
void each_item(const ConfigNode& node, ConfigProblems& problems, Take take)
{
    if (node.kind != ConfigNode::Kind::array) return take(node);
    if (node.items.size() > most_list_items)
        return problems.add(node.at, fmt::format("has {} items", node.items.size()), "at most 256");
    for (const auto& item : node.items) take(item);
}

bool is_label_name(std::string_view name)
{
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return !name.empty() && name.size() <= 64 && is_letter(name.front()) && !name.starts_with("__") &&
           std::ranges::all_of(name, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace

void read_duration(const ConfigNode& node, std::uint64_t least_ns, std::uint64_t& to, ConfigProblems& problems)
{
    if (node.kind != ConfigNode::Kind::text)
        return refuse_kind(node, "a duration with its unit, such as \"100ms\"", problems);
    const auto parsed = parse_duration(node.text);
    if (!parsed) return problems.add(node.at, parsed.error().what, parsed.error().hint);
    if (*parsed < least_ns) return refuse(node, "is too short", "at least " + format_duration(least_ns), problems);
    to = *parsed;
}

void read_size(const ConfigNode& node, std::uint64_t least_bytes, std::uint64_t& to, ConfigProblems& problems)
{
    if (node.kind != ConfigNode::Kind::text)
        return refuse_kind(node, "a size with its unit, such as \"128MiB\"", problems);
    const auto parsed = parse_byte_size(node.text);
    if (!parsed) return problems.add(node.at, parsed.error().what, parsed.error().hint);
    if (*parsed < least_bytes) return refuse(node, "is too small", "at least " + format_bytes(least_bytes), problems);
    to = *parsed;
}

void read_percentage(const ConfigNode& node, NumberRange range, double& to, ConfigProblems& problems)
{
    if (node.kind != ConfigNode::Kind::text) return refuse_kind(node, "a percentage, such as \"1%\"", problems);
    const auto text = std::string_view(node.text);
    double value = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || text.substr(static_cast<std::size_t>(stop - text.data())) != "%")
        return refuse(node, "is no percentage", "write a number and %, such as \"1%\"", problems);
    if (!is_within(value, range)) return refuse(node, "is out of range", range_hint(range, "%"), problems);
    to = value;
}

void read_number(const ConfigNode& node, NumberRange range, double& to, ConfigProblems& problems)
{
    const auto value = number_in(node);
    if (!value) return refuse_kind(node, "a number without quotes", problems);
    if (!is_within(*value, range)) return refuse(node, "is out of range", range_hint(range), problems);
    to = *value;
}

void read_count(const ConfigNode& node, NumberRange range, std::uint32_t& to, ConfigProblems& problems)
{
    const auto value = number_in(node);
    if (!value || node.kind == ConfigNode::Kind::real || std::floor(*value) != *value)
        return refuse_kind(node, "a whole number without quotes", problems);
    if (!is_within(*value, range)) return refuse(node, "is out of range", range_hint(range), problems);
    to = static_cast<std::uint32_t>(*value);
}

void read_boolean(const ConfigNode& node, bool& to, ConfigProblems& problems)
{
    if (node.kind != ConfigNode::Kind::boolean) return refuse_kind(node, "true or false, without quotes", problems);
    to = node.boolean;
}

void read_text(const ConfigNode& node, std::string& to, ConfigProblems& problems)
{
    if (is_text(node, longest_value, problems, "a text in quotes")) to = node.text;
}

void read_path(const ConfigNode& node, std::string& to, ConfigProblems& problems)
{
    if (!is_text(node, longest_file_name, problems, "an absolute path in quotes")) return;
    if (!node.text.starts_with('/')) return refuse(node, "is no absolute path", "begin it with /", problems);
    to = node.text;
}

void read_paths(const ConfigNode& node, std::vector<std::string>& to, ConfigProblems& problems)
{
    if (node.kind != ConfigNode::Kind::array)
        return refuse_kind(node, "a list of paths, such as [\"/etc/loopwatch/suppressions\"]", problems);
    std::vector<std::string> paths;
    each_item(node, problems, [&](const ConfigNode& item) { read_path(item, paths.emplace_back(), problems); });
    to = std::move(paths);
}

void read_secret_place(const ConfigNode& node, std::string& to, ConfigProblems& problems)
{
    if (!is_text(node, longest_file_name, problems, "env:NAME or the path of a file")) return;
    const auto secret = read_secret(node.text);
    if (!secret) return problems.add(node.at, secret.error().what, secret.error().hint);
    to = node.text;
}

void read_globs(const ConfigNode& node, std::vector<std::string>& to, ConfigProblems& problems)
{
    each_item(node, problems, [&](const ConfigNode& item) {
        if (!is_text(item, longest_file_name, problems, "a pattern in quotes, or a list of them")) return;
        if (const auto problem = glob_problem(item.text)) return refuse(item, *problem, "*, ?, [a-z] and \\", problems);
        to.push_back(item.text);
    });
}

void read_expressions(const ConfigNode& node, std::vector<SearchPattern>& to, ConfigProblems& problems)
{
    each_item(node, problems, [&](const ConfigNode& item) {
        if (!is_text(item, longest_file_name, problems, "a regular expression in quotes, or a list of them")) return;
        auto pattern = SearchPattern::parse(item.text);
        if (!pattern) return refuse(item, pattern.error().what, pattern.error().hint, problems);
        to.push_back(std::move(*pattern));
    });
}

void read_users(const ConfigNode& node, std::vector<std::string>& to, ConfigProblems& problems)
{
    constexpr std::string_view wanted = "the name or number of a user, or a list of them";
    each_item(node, problems, [&](const ConfigNode& item) {
        if (item.kind == ConfigNode::Kind::integer && item.integer >= 0 &&
            item.integer <= std::numeric_limits<std::uint32_t>::max())
            to.push_back(fmt::format("{}", item.integer));
        else if (is_text(item, longest_value, problems, wanted))
            to.push_back(item.text);
    });
}

void read_ports(const ConfigNode& node, std::vector<std::uint16_t>& to, ConfigProblems& problems)
{
    each_item(node, problems, [&](const ConfigNode& item) {
        std::uint32_t port = 0;
        read_count(item, {1, 65'535}, port, problems);
        if (port != 0) to.push_back(static_cast<std::uint16_t>(port));
    });
}

void read_labels(const ConfigNode& node, LabelList& to, ConfigProblems& problems)
{
    if (node.kind != ConfigNode::Kind::table) return refuse_kind(node, "a table, such as {team = \"shop\"}", problems);
    if (node.entries.size() > most_labels)
        return problems.add(node.at, fmt::format("has {} labels", node.entries.size()),
                            "at most 16: each is stored with every record");
    for (const auto& [name, at, value] : node.entries) {
        std::string text;
        if (!is_label_name(name))
            problems.add(at, fmt::format("{} is no name of a label", toml_quoted(name)),
                         "letters, digits and _, at most 64, not beginning with a digit or __");
        read_text(value, text, problems);
        to.emplace_back(name, std::move(text));
    }
}

void read_dump_condition(const ConfigNode& node, DumpRule& to, ConfigProblems& problems)
{
    constexpr std::string_view wanted = "\"hold > 2s\" or \"block > 2s\"";
    if (!is_text(node, longest_value, problems, wanted)) return;
    const std::string_view text = node.text;
    const auto word_end = std::min(text.find_first_of(" >"), text.size());
    const auto word = text.substr(0, word_end);
    const auto sign = text.find_first_not_of(' ', word_end);
    if (sign == text.npos || text[sign] != '>' || (word != "hold" && word != "block"))
        return refuse(node, "is no condition", fmt::format("write {}", wanted), problems);
    const auto value = text.find_first_not_of(' ', sign + 1);
    ConfigNode duration = node;
    duration.text = value == text.npos ? std::string() : std::string(text.substr(value));
    read_duration(duration, 1'000'000, to.longer_than_ns, problems);
    to.subject = word == "hold" ? DumpRule::Subject::hold : DumpRule::Subject::block;
}

}  // namespace loopwatch
