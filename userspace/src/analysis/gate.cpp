// SPDX-License-Identifier: Apache-2.0
#include "analysis/gate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "analysis/frames.hpp"
#include "analysis/function_name.hpp"
#include "analysis/kind.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

constexpr std::string_view first_line = "loopwatch-baseline 1";
constexpr std::size_t max_known = 100'000;

// For people. Equal in each run, so that a new baseline differs from the old one by what has changed: a verdict has
// addresses, ids of threads and tasks, and durations.
std::string description(const FindingView& finding)
{
    auto text = fmt::format("{} {}", finding.type, kind_name(finding.kind));
    if (!finding.call.empty()) text += fmt::format(" {}", finding.call);
    const auto* const frame = finding.stack ? culprit_frame(*finding.stack) : nullptr;
    if (frame && !frame->function.empty())
        text += " in " + spoken_name(frame->function);
    else if (frame && !frame->module.empty())
        text += fmt::format(" in {}", base_name(frame->module));
    else if (!finding.task.empty())
        text += fmt::format(" of {}", finding.task);
    std::ranges::replace(text, '\n', ' ');
    return text;
}

}  // namespace

std::optional<Baseline> Baseline::parse(std::string_view text, std::string& what)
{
    Baseline baseline;
    std::size_t number = 0;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        const auto line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (++number == 1) {
            if (line == first_line) continue;
            what = line.starts_with("loopwatch-baseline ")
                       ? fmt::format("1: a baseline of another version (\"{}\", not \"{}\")", line, first_line)
                       : fmt::format("1: no baseline: its first line is not \"{}\"", first_line);
            return std::nullopt;
        }
        if (line.empty()) continue;
        const auto first = line.find(' '), second = first == line.npos ? first : line.find(' ', first + 1);
        Known known;
        const auto digits = first == line.npos ? line.substr(0, 0) : line.substr(first + 1, second - first - 1);
        const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), known.longest_ns);
        if (error != std::errc() || stop != digits.data() + digits.size()) {
            what = fmt::format("{}: not a fingerprint and nanoseconds", number);
            return std::nullopt;
        }
        if (second != line.npos) known.description = line.substr(second + 1);
        baseline.known_[std::string(line.substr(0, first))] = std::move(known);
    }
    if (number != 0) return baseline;
    what = fmt::format("1: no baseline: its first line is not \"{}\"", first_line);
    return std::nullopt;
}

std::string Baseline::text() const
{
    std::string text(first_line);
    text += '\n';
    for (const auto& [fingerprint, known] : known_)
        text += fmt::format("{} {} {}\n", fingerprint, known.longest_ns, known.description);
    return text;
}

void Baseline::add(const FindingView& finding)
{
    if (known_.size() >= max_known && !known_.contains(finding.fingerprint)) return;
    auto& known = known_[std::string(finding.fingerprint)];
    if (finding.duration_ns < known.longest_ns) return;
    known.longest_ns = finding.duration_ns;
    known.description = description(finding);
}

bool Baseline::covers(const FindingView& finding) const
{
    if (!finding.place_known) return false;
    const auto known = known_.find(finding.fingerprint);
    return known != known_.end() && finding.duration_ns / 2 <= known->second.longest_ns;
}

bool Gate::is_wanted(std::string_view type, std::optional<Kind> kind) const
{
    return std::ranges::any_of(fail_on,
                               [&](const FailOn& one) { return one.type == type && (!one.kind || one.kind == kind); });
}

Failure* Gate::failure(std::string_view type, std::string_view fingerprint)
{
    auto key = fmt::format("{} {}", type, fingerprint);
    if (const auto known = by_fingerprint_.find(key); known != by_fingerprint_.end()) return &failures_[known->second];
    if (failures_.size() >= max_failures) return nullptr;
    by_fingerprint_.emplace(std::move(key), failures_.size());
    auto& added = failures_.emplace_back();
    added.type = type;
    added.fingerprint = fingerprint;
    return &added;
}

bool Gate::admit(const FindingView& finding)
{
    if (suppressions.allows(finding) || (also_allows && also_allows(finding))) return false;
    if (finding.place_known)
        seen_.add(finding);
    else if (placeless_incidents_.add(finding.incident))
        ++placeless_;
    if (!is_wanted(finding.type, finding.kind)) return true;
    if (baseline && baseline->covers(finding)) {
        if (excused_incidents_.add(finding.incident)) ++excused_;
        return true;
    }
    auto* const failed = failure(finding.type, finding.fingerprint);
    if (!failed) return true;
    if (failed->incidents.add(finding.incident) || finding.type != "stall") ++failed->count;
    if (failed->count > 1 && finding.duration_ns <= failed->longest_ns) return true;
    failed->kind = kind_name(finding.kind);
    failed->call = finding.call;
    failed->verdict = finding.verdict;
    failed->longest_ns = finding.duration_ns;
    if (const auto* frame = finding.stack ? culprit_frame(*finding.stack) : nullptr) {
        failed->function = frame->function;
        failed->file = frame->file;
        failed->line = frame->line;
    }
    return true;
}

void Gate::fail(std::string_view type, std::string_view verdict)
{
    auto* const failed = failure(type, type);
    if (failed && failed->count++ == 0) failed->verdict = verdict;
}

void Gate::note(std::string_view type, std::string_view verdict)
{
    if (!is_wanted(type, std::nullopt)) return;
    auto* const failed = failure(type, type);
    if (!failed) return;
    if (failed->count++ == 0) failed->verdict = verdict;
}

}  // namespace loopwatch
