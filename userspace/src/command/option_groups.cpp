// SPDX-License-Identifier: Apache-2.0
#include "command/option_groups.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string_view>

#include "analysis/kind.hpp"
#include "output/formats.hpp"
#include "output/line_sink.hpp"
#include "output/schema.hpp"
#include "output/text_style.hpp"
#include "target/process.hpp"
#include "util/duration.hpp"

namespace loopwatch {

namespace {

// Shorter ones would measure the reader of the report.
constexpr std::uint64_t min_interval_ns = 100'000'000;
// A probe's trap alone takes 0.5 to 5 us: what is shorter would measure loopwatch.
constexpr std::uint64_t min_threshold_ns = 1'000;

template <class Add>
TakeValue id_value(Add add)
{
    return [add](const std::string& text) -> std::optional<BadValue> {
        pid_t id = 0;
        auto bad = number_value<pid_t>(id, 1, std::numeric_limits<pid_t>::max(), "numbers, as ps shows them")(text);
        if (!bad) add(id);
        return bad;
    };
}

std::optional<BadValue> add_fail_on(const std::string& text, std::vector<FailOn>& fail_on)
{
    const auto types = finding_types();
    const auto colon = text.find(':');
    FailOn rule{text.substr(0, colon), std::nullopt};
    if (std::ranges::find(types, rule.type) == types.end())
        return BadValue{fmt::format("\"{}\" is no finding", rule.type),
                        fmt::format("one of {}", fmt::join(types, ", "))};
    if (colon != std::string::npos) {
        rule.kind = kind_named(std::string_view(text).substr(colon + 1));
        if (!rule.kind)
            return BadValue{fmt::format("\"{}\" is no kind", text.substr(colon + 1)),
                            fmt::format("one of {}", fmt::join(kind_names(), ", "))};
    }
    fail_on.push_back(std::move(rule));
    return std::nullopt;
}

Error without_ndjson()
{
    return {ExitCode::usage, "--stacks interned: no output has the format ndjson", "add --format ndjson"};
}

// "Help (100ms)", "Help (100ms, least 1us)".
std::string with_default(const char* help, std::uint64_t ns, const std::string& least = {})
{
    return fmt::format("{} ({}{}{})", help, written_duration(ns), least.empty() ? "" : ", least ", least);
}

}  // namespace

void ProcessOptions::add(OptionParser& parser, const char* usage)
{
    parser.list("-p,--pid", id_value([this](pid_t pid) {
                    if (std::ranges::find(pids, pid) == pids.end()) pids.push_back(pid);
                }),
                "Processes, by their ids", "PID[,PID...]");
    // Of two names the first would not be watched, and nothing would say so.
    const auto one_name = [this](const std::string& text) -> std::optional<BadValue> {
        if (!name.empty()) return BadValue{"is given twice", "one name; several processes: -p PID,PID"};
        return text_value(name, "the name of a process, as ps -o comm shows it")(text);
    };
    parser.repeated("-n,--name", one_name, "Processes of this exact name; watch: those that start later too", "NAME");
    parser.check([this, usage]() -> std::optional<Error> {
        if (!pids.empty() && !name.empty())
            return Error{ExitCode::usage, "--name: not together with --pid", "give one of them"};
        if (pids.empty() && name.empty() && usage != nullptr) return Error{ExitCode::usage, "no process given", usage};
        return std::nullopt;
    });
}

Result<std::vector<pid_t>> ProcessOptions::find() const
{
    auto found = name.empty() ? pids : Process::find(name);
    if (found.empty())
        return Error{ExitCode::no_such_target, fmt::format("no process is named '{}'", name),
                     "list processes with: ps -e"};
    return found;
}

void ScopeOptions::add(OptionParser& parser)
{
    parser.list("--tid", id_value([this](pid_t tid) { tids.insert(static_cast<std::uint32_t>(tid)); }),
                "Only loops of this thread; repeatable", "TID");
    parser.flag("--follow-children", follow_children, "Also the processes they have forked, and will");
}

void DetectionOptions::add(OptionParser& parser)
{
    const auto threshold = [](std::uint64_t& ns) { return duration_value(ns, "ms", min_threshold_ns); };
    const auto least = written_duration(min_threshold_ns);
    parser.value("--threshold", threshold(thresholds.slow_ns),
                 with_default("Report callbacks that hold the loop at least so long", thresholds.slow_ns, least),
                 "DUR");
    parser.value("--block-threshold", threshold(thresholds.block_ns),
                 with_default("Report single blocking calls from here on", thresholds.block_ns, least), "DUR");
    parser.flag("--trace", trace, "Also each step of each task; costs more");
    parser.flag("--debug", debug, "Also wrong threads, leaks, slow polls, and where exceptions are thrown");
    parser.flag("--coroutines", coroutines, "Without probes: single resumes of C++20 coroutines; each costs");
    parser.flag("--kernel-stacks", kernel_stacks, "Also the kernel's stacks, about 3 us each");
    parser.value(
        "--max-overhead", number_value<double>(max_overhead_percent, 0.01, 100, "percent of a CPU, 0.01 to 100"),
        fmt::format("--trace, --coroutines and --debug step down above this share of a CPU ({})", max_overhead_percent),
        "PCT");
    parser.value("--max-loops", number_value<std::uint32_t>(max_loops, 1, 4096, "1 to 4096"),
                 fmt::format("Loops to keep state for ({})", max_loops), "N");
    parser.value("--attach",
                 choice_value<std::optional<AttachRung>>(rung, {{"multi", AttachRung::multi},
                                                                {"perf-all", AttachRung::perf_all},
                                                                {"perf-pid", AttachRung::perf_pid},
                                                                {"none", AttachRung::none}}),
                 "", "RUNG");
}

void add_interval(OptionParser& parser, std::uint64_t& interval_ns, const char* help)
{
    parser.value("--interval", duration_value(interval_ns, "s", min_interval_ns), with_default(help, interval_ns),
                 "DUR");
}

void TimingOptions::add(OptionParser& parser)
{
    parser.value("--duration", duration_value(duration_ns, "s"), "End after this time (when the target ends)", "DUR");
    add_interval(parser, interval_ns, "Statistics every so often");
}

void OutputOptions::add(OptionParser& parser)
{
    parser.repeated(
        "--format",
        [this](const std::string& text) -> std::optional<BadValue> {
            if (text != "auto" && !make_encoder(text, {}))
                return BadValue{fmt::format("bad value \"{}\"", text),
                                fmt::format("one of auto, {}", format_names(", "))};
            formats.push_back(text);
            return std::nullopt;
        },
        "auto: text on a terminal, ndjson otherwise; chrome: for ui.perfetto.dev",
        ("auto|" + format_names("|")).c_str());
    const auto add_file = [this](bool required) {
        return [this, required](const std::string& text) -> std::optional<BadValue> {
            if (text.empty()) return BadValue{"is empty", "the name of a file"};
            if (std::ranges::find(files, text, &OutputFile::path) != files.end())
                return BadValue{fmt::format("\"{}\" is given twice", text), "give each output once"};
            files.push_back({text, required});
            return std::nullopt;
        };
    };
    parser.repeated("-o,--output", add_file(true),
                    "A file, device or FIFO, - for stdout (run: to stderr); several: each with its --format", "FILE");
    parser.repeated("--optional-output", add_file(false),
                    "An -o without which the session goes on: its failures are counted, and it is tried again", "FILE");
    parser.value("--stacks", choice_value<bool>(interned, {{"inline", false}, {"interned", true}}),
                 "ndjson: a stack in each record that has one, or once, in a record of its own", "inline|interned");
    parser.flag("--quiet", quiet, "Text: findings only");
    parser.flag("--no-color", no_color, "Text: no colours (also: NO_COLOR=1)");
    parser.check([this]() -> std::optional<Error> {
        if (!formats.empty() && formats.size() != std::max<std::size_t>(files.size(), 1))
            return Error{ExitCode::usage, fmt::format("--format: {} for {} outputs", formats.size(), files.size()),
                         "give each -o and --optional-output its --format, or none"};
        const auto may_be_ndjson = [&](const std::string& format) { return format == "auto" || format == "ndjson"; };
        if (!interned || formats.empty() || std::ranges::any_of(formats, may_be_ndjson)) return std::nullopt;
        return without_ndjson();
    });
}

void ListOutputOptions::add(OptionParser& parser)
{
    parser.value("--format", choice_value<bool>(ndjson, {{"auto", false}, {"text", false}, {"ndjson", true}}),
                 "text, or ndjson for tools", "auto|text|ndjson");
    parser.value("-o,--output", text_value(file, "the name of a file"), "Write to a file, - for stdout", "FILE");
    parser.flag("--no-color", no_color, "Text: no colours (also: NO_COLOR=1)");
}

Result<Hub> OutputOptions::open(bool gated) const
{
    const auto all = files.empty() ? std::vector{OutputFile{default_file}} : files;
    Hub hub;
    bool is_ndjson = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
        auto output = Output::open(all[i].path);
        if (!output) return output.error();
        const bool terminal = output->is_terminal();
        auto format = i < formats.size() ? formats[i] : "auto";
        if (files.empty() && format == "auto") format = default_format;
        if (format == "auto") format = terminal ? "text" : "ndjson";
        is_ndjson |= format == "ndjson";
        auto encoder = make_encoder(
            format,
            {.colours = wants_colours(terminal, no_color), .quiet = quiet, .gated = gated, .interned = interned});
        hub.add(all[i].path, std::make_unique<LineSink>(std::move(*output), std::move(encoder)),
                {.required = all[i].required});
    }
    if (interned && !is_ndjson) return without_ndjson();
    return hub;
}

void add_gate_options(OptionParser& parser, GateOptions& gate)
{
    constexpr const char* file = "the name of a file";
    parser.list(
        "--fail-on", [&gate](const std::string& text) { return add_fail_on(text, gate.fail_on); },
        "Exit with 3 if such a finding was made; slow_callback: also one that has not returned", "TYPE[:KIND][,...]");
    parser.value("--suppressions", text_value(gate.suppressions, file),
                 "Rules for what is known and not to be reported", "FILE");
    parser.value("--baseline", text_value(gate.baseline, file), "What it lists fails only if it takes twice as long",
                 "FILE");
    parser.value("--write-baseline", text_value(gate.write_baseline, file), "Write what was found, for --baseline",
                 "FILE");
    parser.list(
        "--report",
        [&gate](const std::string& text) -> std::optional<BadValue> {
            const auto report = parse_report(text);
            if (!report)
                return BadValue{fmt::format("bad value \"{}\"", text), "one of junit:FILE, sarif:FILE, github"};
            gate.reports.push_back(*report);
            return std::nullopt;
        },
        "Write what failed, for other tools", "junit:FILE|sarif:FILE|github");
}

}  // namespace loopwatch
