// SPDX-License-Identifier: Apache-2.0
#include "output/gate_report.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "util/text.hpp"

namespace loopwatch {

namespace {

using SarifJson = nlohmann::json;

std::string short_file(std::string_view file, std::string_view directory)
{
    if (!directory.empty() && file.starts_with(directory) && file.size() > directory.size() &&
        file[directory.size()] == '/')
        file.remove_prefix(directory.size() + 1);
    return sanitize_utf8(file);
}

std::string xml(std::string_view text)
{
    std::string escaped;
    for (const char c : sanitize_utf8(text)) {
        switch (c) {
            case '&': escaped += "&amp;"; break;
            case '<': escaped += "&lt;"; break;
            case '>': escaped += "&gt;"; break;
            case '"': escaped += "&quot;"; break;
            default:
                // XML 1.0 has no other control characters, not even escaped ones.
                escaped += static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t' ? '?' : c;
        }
    }
    return escaped;
}

std::string place(const Failure& failure, std::string_view directory)
{
    if (failure.file.empty()) return failure.function;
    return fmt::format("{}:{} ({})", short_file(failure.file, directory), failure.line, failure.function);
}

std::string rule_of(const Failure& failure)
{
    return failure.kind.empty() ? failure.type : fmt::format("{}:{}", failure.type, failure.kind);
}

std::string junit(const std::vector<Failure>& failures, std::string_view name, std::string_view directory)
{
    auto text = fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"loopwatch {}\" tests=\"{}\" "
        "failures=\"{}\">\n",
        xml(name), std::max<std::size_t>(failures.size(), 1), failures.size());
    if (failures.empty()) text += fmt::format("    <testcase classname=\"{}\" name=\"no finding\"/>\n", xml(name));
    for (const auto& failure : failures)
        text += fmt::format(
            "    <testcase classname=\"{}\" name=\"{} {}\" time=\"{:.6f}\">\n      <failure type=\"{}\" "
            "message=\"{}\">{} ({} times, fingerprint {})</failure>\n    </testcase>\n",
            xml(name), xml(rule_of(failure)), xml(failure.fingerprint), static_cast<double>(failure.longest_ns) / 1e9,
            xml(rule_of(failure)), xml(failure.verdict), xml(place(failure, directory)), failure.count,
            xml(failure.fingerprint));
    return text + "  </testsuite>\n</testsuites>\n";
}

std::string sarif(const std::vector<Failure>& failures, std::string_view directory)
{
    SarifJson results = SarifJson::array(), rules = SarifJson::array();
    for (const auto& failure : failures) {
        const auto rule = rule_of(failure);
        const bool known =
            std::any_of(rules.begin(), rules.end(), [&](const SarifJson& one) { return one["id"] == rule; });
        if (!known) rules.push_back({{"id", rule}});
        SarifJson result = {{"ruleId", rule},
                            {"level", "error"},
                            {"message", {{"text", sanitize_utf8(failure.verdict)}}},
                            {"partialFingerprints", {{"loopwatch/1", failure.fingerprint}}},
                            {"occurrenceCount", failure.count}};
        SarifJson location = SarifJson::object();
        if (!failure.file.empty())
            location["physicalLocation"] = {{"artifactLocation", {{"uri", short_file(failure.file, directory)}}},
                                            {"region", {{"startLine", std::max<std::uint32_t>(failure.line, 1)}}}};
        if (!failure.function.empty())
            location["logicalLocations"] = {{{"fullyQualifiedName", sanitize_utf8(failure.function)}}};
        if (!location.empty()) result["locations"] = {location};
        results.push_back(std::move(result));
    }
    const SarifJson driver = {{"name", "loopwatch"}, {"rules", rules}};
    const SarifJson run = {{"tool", {{"driver", driver}}}, {"results", results}};
    const SarifJson log = {{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                           {"version", "2.1.0"},
                           {"runs", SarifJson::array({run})}};
    return log.dump(2) + "\n";
}

// A message ends with its line, a property with a comma or colon.
std::string command_text(std::string_view text, bool property)
{
    std::string escaped;
    for (const char c : sanitize_utf8(text)) {
        switch (c) {
            case '%': escaped += "%25"; break;
            case '\r': escaped += "%0D"; break;
            case '\n': escaped += "%0A"; break;
            case ':': escaped += property ? "%3A" : ":"; break;
            case ',': escaped += property ? "%2C" : ","; break;
            default: escaped += c;
        }
    }
    return escaped;
}

std::string github(const std::vector<Failure>& failures, std::string_view directory)
{
    std::string text;
    for (const auto& failure : failures) {
        std::string where;
        if (!failure.file.empty())
            where =
                fmt::format("file={},line={},", command_text(short_file(failure.file, directory), true), failure.line);
        text += fmt::format("::error {}title={}::{}\n", where, command_text(rule_of(failure), true),
                            command_text(failure.verdict, false));
    }
    return text;
}

}  // namespace

std::optional<ReportWish> parse_report(std::string_view text)
{
    if (text == "github") return ReportWish{ReportFormat::github, ""};
    for (const auto& [prefix, format] :
         {std::pair<std::string_view, ReportFormat>("junit:", ReportFormat::junit), {"sarif:", ReportFormat::sarif}})
        if (text.starts_with(prefix) && text.size() > prefix.size())
            return ReportWish{format, std::string(text.substr(prefix.size()))};
    return std::nullopt;
}

std::string report_text(ReportFormat format, const std::vector<Failure>& failures, std::string_view name,
                        std::string_view directory)
{
    switch (format) {
        case ReportFormat::junit: return junit(failures, name, directory);
        case ReportFormat::sarif: return sarif(failures, directory);
        case ReportFormat::github: return github(failures, directory);
    }
    return "";
}

}  // namespace loopwatch
