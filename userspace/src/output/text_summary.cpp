// SPDX-License-Identifier: Apache-2.0
#include "output/text_summary.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>

#include <algorithm>

#include "util/duration.hpp"
#include "util/text.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t most_loops = 256;
// To attach takes up to half a second of CPU: of a short session that is any percentage.
constexpr std::uint64_t least_for_percent_ns = 5'000'000'000;

std::string warning_lines(const std::vector<std::string>& warnings, const TextContext& context)
{
    std::string text;
    for (const std::string& warning : warnings) {
        text += fmt::format("  {} {}\n", context.style.strong("warning:"), escape_terminal(warning));
    }
    return text;
}

// "server (pid 1)" → "server (pid 1, before exec)".
std::string before(const std::string& process)
{
    return process.ends_with(')') ? process.substr(0, process.size() - 1) + ", before exec)" : process;
}

// One that hangs has none that has ended. Of a program that was killed what it had counted is gone, and those that were
// reported are known.
std::string ended_text(std::uint64_t count, bool probed, bool one_ended)
{
    if (count == 0 && one_ended) return fmt::format("{} not counted", probed ? "dispatches" : "iterations");
    const auto* const what = probed ? "dispatch" : "iteration";
    if (count == 0) return fmt::format("no {} ended", what);
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : probed ? "es" : "s");
}

// ", longest 312 ms", ", longest 220 ms, which did not end".
std::string longest_text(std::uint64_t ended, std::uint64_t longest_ns, std::uint64_t open_ns)
{
    const bool was_open = open_ns != 0 && open_ns >= longest_ns;
    if (ended == 0)
        return longest_ns == 0
                   ? ""
                   : fmt::format(", {} {}", was_open ? "one ran for" : "longest", format_duration(longest_ns));
    return fmt::format(", longest {}{}", format_duration(longest_ns), was_open ? ", which did not end" : "");
}

// "ring_full 2, stack_budget 7"; zeros are no news.
std::string counts_text(const Counts& counts)
{
    std::vector<std::string> shown;
    for (const auto& [name, count] : counts) {
        if (count != 0) shown.push_back(fmt::format("{} {}", escape_terminal(name), count));
    }
    return shown.empty() ? "nothing" : fmt::format("{}", fmt::join(shown, ", "));
}

// "complete", "findings missing: records that came faster than they were read: 3 (ring_full)".
std::string report_text(const SessionEnd& end)
{
    auto text = end.completeness;
    std::ranges::replace(text, '_', ' ');
    return end.completeness_reason.empty() ? text : text + ": " + escape_terminal(end.completeness_reason);
}

std::string loop_name(const LoopInfo& loop)
{
    return loop.name.empty() ? "#" + escape_terminal(loop.id) : escape_terminal(loop.name);
}

double percent(std::uint64_t part, std::uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string in_brackets(const std::vector<std::string>& words)
{
    return words.empty() ? std::string() : fmt::format(" ({})", fmt::join(words, ", "));
}

// "19.3 ms of CPU time in the kernel (0.29 % of a CPU, estimated), 212 ms in loopwatch (3.15 %), 26 MiB"; of a short
// session without percentages, without a kernel side "212 ms of CPU time in loopwatch (3.15 % of a CPU), 26 MiB".
std::string overhead_line(const SessionEnd& end)
{
    const auto& cost = end.overhead;
    std::vector<std::string> parts;
    const auto add = [&](std::uint64_t ns, std::string_view where, bool estimated) {
        const bool first = parts.empty();
        std::vector<std::string> words;
        if (end.duration_ns >= least_for_percent_ns)
            words.push_back(fmt::format("{:.2f} %{}", percent(ns, end.duration_ns), first ? " of a CPU" : ""));
        if (estimated) words.emplace_back("estimated");
        parts.push_back(
            fmt::format("{}{} in {}{}", format_duration(ns), first ? " of CPU time" : "", where, in_brackets(words)));
    };
    if (cost.bpf_ns) add(*cost.bpf_ns, "the kernel", cost.bpf_ns_estimated.value_or(false));
    add(cost.collector_cpu_ns, "loopwatch", false);
    return fmt::format("  overhead: {}, {} MiB\n", fmt::join(parts, ", "), cost.max_rss_bytes >> 20);
}

}  // namespace

void LoopTotals::add(const LoopStats& stats)
{
    const auto image = images_.find(stats.subject.pid);
    Key key{stats.subject.pid, image == images_.end() ? 0 : image->second, stats.loop.id};
    const bool room = loops_.size() < most_loops || loops_.contains(key);
    if (!room) key = {};
    Total& total = loops_[key];
    total.name = room ? loop_name(stats.loop) : "(others)";
    total.comm = room ? process_name(stats.subject) : "all processes";
    total.interval_ns += stats.interval_ns;
    total.probed |= stats.probed;
    total.dispatches += stats.dispatches;
    total.iterations += stats.iterations;
    total.busy_ns += stats.busy_ns;
    total.longest_ns = std::max(total.longest_ns, stats.dispatch_ns.max);
    total.open_ns = room ? stats.open_ns.value_or(0) : 0;
    if (stats.lag_ns) total.lag_ns = std::max(total.lag_ns, stats.lag_ns->max);
}

void LoopTotals::end_image(std::uint32_t pid)
{
    const auto of_process = [&](const auto& loop) { return loop.first.pid == pid; };
    if (std::ranges::any_of(loops_, of_process)) ++images_[pid];
}

std::string LoopTotals::text() const
{
    std::string text;
    for (const auto& [key, total] : loops_) {
        const bool probed = total.probed;
        const auto later = images_.find(key.pid);
        const bool before_exec = later != images_.end() && key.image < later->second;
        const auto same = std::ranges::count_if(loops_, [&key = key, &total = total](const auto& other) {
            return other.second.name == total.name && other.second.comm == total.comm && other.first.image == key.image;
        });
        const auto ended = probed ? total.dispatches : total.iterations;
        text += fmt::format(
            "  loop {}{} of {}: {}, {:.1f} % busy{}{}\n", total.name,
            same > 1 ? " #" + escape_terminal(key.loop_id) : "", before_exec ? before(total.comm) : total.comm,
            ended_text(ended, probed, total.longest_ns > total.open_ns), percent(total.busy_ns, total.interval_ns),
            longest_text(ended, total.longest_ns, total.open_ns),
            total.lag_ns ? ", timers late by up to " + format_duration(total.lag_ns) : "");
    }
    return text;
}

bool LoopTotals::any_ended() const
{
    return std::ranges::any_of(loops_, [](const auto& loop) { return loop.second.longest_ns > loop.second.open_ns; });
}

bool LoopTotals::any_probed() const
{
    return loops_.empty() || std::ranges::any_of(loops_, [](const auto& loop) { return loop.second.probed; });
}

// "no probes: whole loop passes are timed", "its own probes, the shim". 0 to 3 as in the records' `tiers`.
std::string tiers_text(const std::vector<int>& tiers)
{
    const auto has = [&](int tier) { return std::ranges::find(tiers, tier) != tiers.end(); };
    const std::string probes = has(3) ? "its own probes" : "no probes: whole loop passes are timed";
    return probes + (has(1) ? ", the shim" : "");
}

std::string text_of(const SessionStart& start, const TextContext& context)
{
    // Those of a target are told with it.
    auto own = start.warnings;
    std::erase_if(own, [](const std::string& warning) { return warning.starts_with("pid "); });
    return fmt::format("loopwatch {} on Linux {}, {}: slow callbacks from {}, blocking calls from {}\n",
                       escape_terminal(start.version), escape_terminal(start.kernel),
                       context.anchor.rfc3339(start.at_ns), format_duration(start.threshold_ns),
                       format_duration(start.block_threshold_ns)) +
           warning_lines(own, context);
}

std::string text_of(const TargetStart& start, const TextContext& context)
{
    std::vector<std::string> loops;
    for (const LoopInfo& loop : start.loops) loops.push_back(loop_name(loop));
    const auto exe = start.exe.empty() ? "" : ": " + escape_terminal(start.exe);  // empty: it has ended
    return fmt::format("watching {}{}, loops: {}; {}\n", process_name(start.subject), exe,
                       loops.empty() ? "none yet" : fmt::format("{}", fmt::join(loops, ", ")),
                       tiers_text(start.tiers)) +
           warning_lines(start.warnings, context) + "\n";
}

std::string text_of(const Warning& warning, const TextContext& context)
{
    const auto whose = warning.target ? process_name(*warning.target) + ": " : "";
    const auto hint = warning.hint.empty() ? "" : fmt::format(" (hint: {})", escape_terminal(warning.hint));
    return fmt::format("{} {}{}{}\n", context.style.strong("warning:"), whose, escape_terminal(warning.text), hint);
}

std::string signal_name(int number)
{
    const auto* const name = ::sigabbrev_np(number);
    return name ? fmt::format("SIG{}", name) : "unknown";
}

std::string text_of(const TargetEnd& end, const TextContext&)
{
    std::string status;
    if (end.exit_status && WIFEXITED(*end.exit_status))
        status = fmt::format(", status {}", WEXITSTATUS(*end.exit_status));
    if (end.exit_status && WIFSIGNALED(*end.exit_status))
        status = fmt::format(", signal {} ({})", WTERMSIG(*end.exit_status), signal_name(WTERMSIG(*end.exit_status)));
    const auto* const then = end.reason == "detached" ? ", not watched any more" : "";
    return fmt::format("{}: {}{}{}\n", process_name(end.subject), escape_terminal(end.reason), status, then);
}

std::string completeness_lines(const SessionEnd& end)
{
    return fmt::format("  report: {}\n  lost: {}\n  over the rate limit: {}\n", report_text(end), counts_text(end.lost),
                       counts_text(end.suppressed));
}

std::string text_of(const SessionEnd& end, const LoopTotals& loops, const TextContext& context)
{
    std::string text = context.style.strong(fmt::format("{} watched ({}): {}\n", format_duration(end.duration_ns),
                                                        escape_terminal(end.reason), counts_text(end.counts)));
    text += loops.text();
    const bool one_ended = loops.any_ended();
    text += fmt::format("  {}", ended_text(end.dispatches, loops.any_probed(), one_ended));
    if (end.dispatches)
        text += fmt::format(": p50 {}, p90 {}, p99 {}, longest {}", format_duration(end.dispatch_ns.p50),
                            format_duration(end.dispatch_ns.p90), format_duration(end.dispatch_ns.p99),
                            format_duration(end.dispatch_ns.max));
    else if (end.dispatch_ns.max)
        text += fmt::format(": {} {}", one_ended ? "longest" : "one ran for", format_duration(end.dispatch_ns.max));
    text += "\n";
    text += completeness_lines(end);
    text += overhead_line(end);
    return text;
}

}  // namespace loopwatch
