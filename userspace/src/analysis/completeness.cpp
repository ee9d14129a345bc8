// SPDX-License-Identifier: Apache-2.0
#include "analysis/completeness.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "util/text.hpp"

namespace loopwatch {

namespace {

using enum Lacks;
constexpr Loss losses[] = {
    {"causes_untracked", details, "slow callbacks that are in no cause_stats"},
    {"children_missed", findings, "child processes that were too many to be watched"},
    {"detail_unreadable", names, "paths or names in memory that was not resident"},
    {"dispatch_book", details, "blocks or samples of callbacks that had more than there is room for"},
    {"dispatch_stateless", details, "slow callbacks of loops that were not known"},
    {"fingerprints_forgotten", details, "fingerprints whose occurrences were counted from 1 again"},
    {"iteration_unclear", findings, "iterations that could not be told from idle waits"},
    {"iteration_unproven", findings, "slow iterations of threads that may run no event loop"},
    {"loops_untracked", findings, "event loops beyond --max-loops"},
    {"output_failed", findings, "records that came while the output could not be written"},
    {"output_full", findings, "records that came faster than the reader of the output took them"},
    {"processes_missed", findings, "processes that ended before they or their event loops could be watched"},
    {"program_missed", findings, "probes that fired while another one ran"},
    {"record_undecodable", findings, "records that made no sense"},
    {"ring_full", findings, "records that came faster than they were read"},
    {"sampling_failed", details, "callbacks that could not be sampled"},
    {"sites_overflow", findings, "waits of a loop in more places than there is room for"},
    {"slot_unreadable", findings, "reads of a loop's state that failed"},
    {"sources_overflow", details, "blocked places of callbacks that had more than four"},
    {"stack_budget", names, "stacks beyond 2,000 a second"},
    {"stack_pool_empty", findings, "blocked places or calls for which there was no room beside those of other threads"},
    {"stack_truncated", names, "stacks that were longer than 32 KiB or not resident"},
    {"stack_unreadable", names, "stacks that were not resident"},
    {"switch_unseen", details,
     "context switches that the kernel did not report (times on and off the CPU are less exact)"},
    {"symbol_worker", names, "stacks without names"},
    {"task_unreadable", names, "tasks in memory that was not resident"},
    {"time_wild", details, "probe arguments with a time in the future"},
};
constexpr std::size_t most_reasons = 3;

const Loss& loss_named(const std::string& name)
{
    static constexpr Loss unknown{"", Lacks::findings, "of a kind that has no description"};
    const auto found = std::ranges::find(losses, std::string_view(name), &Loss::name);
    return found == std::end(losses) ? unknown : *found;
}

std::string sentence(const std::vector<std::string>& reasons)
{
    const auto shown = std::min(reasons.size(), most_reasons);
    auto text =
        fmt::format("{}", fmt::join(reasons.begin(), reasons.begin() + static_cast<std::ptrdiff_t>(shown), "; "));
    if (reasons.size() > shown) text += fmt::format("; and {} more under lost", reasons.size() - shown);
    return text;
}

}  // namespace

std::span<const Loss> all_losses()
{
    return losses;
}

Completeness completeness(const Counts& lost, const Counts& suppressed, WarningCounts warnings, bool saw_loop)
{
    if (!saw_loop) return {"nothing_watched", "no event loop was seen"};
    // What a report lacks most comes first.
    std::vector<std::string> reasons[3];
    const auto add = [&](Lacks lacks, std::string reason) {
        reasons[static_cast<std::size_t>(lacks)].push_back(std::move(reason));
    };
    for (const auto& [name, count] : lost) {
        if (count == 0) continue;
        const Loss& loss = loss_named(name);
        add(loss.lacks, fmt::format("{}: {} ({})", loss.what, count, name));
    }
    std::uint64_t held_back = 0;
    for (const auto& [type, count] : suppressed) held_back += count;
    if (held_back != 0) add(details, counted(held_back, "finding") + " beyond the rate limits");
    if (warnings.of_sight != 0) add(details, counted(warnings.of_sight, "warning"));
    if (warnings.of_names != 0) add(names, counted(warnings.of_names, "warning") + " about names");
    constexpr const char* levels[] = {"findings_missing", "limited", "names_missing"};
    const auto worst = std::ranges::find_if(reasons, [](const auto& some) { return !some.empty(); });
    if (worst == std::end(reasons)) return {};
    std::vector<std::string> all;
    for (auto& some : reasons) std::ranges::move(some, std::back_inserter(all));
    return {levels[worst - std::begin(reasons)], sentence(all)};
}

}  // namespace loopwatch
