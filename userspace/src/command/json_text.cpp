// SPDX-License-Identifier: Apache-2.0
#include "command/json_text.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "util/text.hpp"

namespace loopwatch {

namespace {

using JsonValue = nlohmann::json;

std::string value_as_text(const JsonValue& value)
{
    if (value.is_null() || (value.is_structured() && value.empty())) return "-";
    if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
    const auto text =
        value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, JsonValue::error_handler_t::replace);
    return text.empty() ? "-" : escape_terminal(text);
}

// Characters, not bytes: those that continue one begin with the bits 10.
std::size_t width_of(const std::string& text)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

using Row = std::vector<std::string>;

void add_row(std::string& text, const Row& row, const std::vector<std::size_t>& widths)
{
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
        line += "  " + row[column];
        if (column + 1 < row.size()) line.append(widths[column] - width_of(row[column]), ' ');
    }
    text += line + "\n";
}

std::string table_as_text(const JsonValue& rows)
{
    std::vector<std::string> keys;
    const auto add_key = [&](const std::string& key) {
        if (std::ranges::count(keys, key) == 0) keys.push_back(key);
    };
    for (const auto& row : rows) {
        if (!row.is_object()) add_key("value");
        if (row.is_object())
            for (const auto& [key, value] : row.items()) add_key(key);
    }
    std::vector<Row> lines(1);
    for (const auto& key : keys) lines[0].push_back(escape_terminal(key));
    for (const auto& row : rows) {
        auto& line = lines.emplace_back();
        for (const auto& key : keys)
            line.push_back(row.is_object()  ? row.contains(key) ? value_as_text(row[key]) : "-"
                           : key == "value" ? value_as_text(row)
                                            : "-");
    }
    std::vector<std::size_t> widths(keys.size());
    for (const auto& line : lines)
        for (std::size_t column = 0; column < line.size(); ++column)
            widths[column] = std::max(widths[column], width_of(line[column]));
    std::string text;
    for (const auto& line : lines) add_row(text, line, widths);
    return text;
}

// `tables` come behind all lines: what is read first is not below a long one.
void add_lines(const JsonValue& object, const std::string& prefix, std::string& lines, std::string& tables)
{
    for (const auto& [key, value] : object.items()) {
        const auto name = prefix + escape_terminal(key);
        const bool is_table =
            value.is_array() && std::ranges::any_of(value, [](const auto& row) { return row.is_object(); });
        if (value.is_object() && !value.empty()) {
            add_lines(value, name + ".", lines, tables);
        } else if (is_table) {
            tables += name + ": " + std::to_string(value.size()) + "\n" + table_as_text(value);
        } else if (value.is_array() && !value.empty()) {
            std::string joined;
            for (const auto& each : value) joined += (joined.empty() ? "" : ", ") + value_as_text(each);
            lines += name + ": " + joined + "\n";
        } else {
            lines += name + ": " + value_as_text(value) + "\n";
        }
    }
}

}  // namespace

std::string json_as_text(const nlohmann::json& object)
{
    std::string lines, tables;
    if (object.is_object())
        add_lines(object, "", lines, tables);
    else
        lines = value_as_text(object) + "\n";
    return lines + tables;
}

}  // namespace loopwatch
