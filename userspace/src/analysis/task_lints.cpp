// SPDX-License-Identifier: Apache-2.0
#include "analysis/task_lints.hpp"

#include <fmt/format.h>

#include <map>
#include <unordered_map>

#include "analysis/task_tree.hpp"
#include "util/duration.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

// A task that does nothing but let others run is resumed a hundred thousand times a second; one that has something to
// wait for, even of a busy server, by far less.
constexpr std::uint64_t self_wakes_a_second = 10'000;
// A server that starts under load spawns so many; from then on they come and go.
constexpr std::uint64_t growth_least = 100;

std::string named(const LintTask& task)
{
    return fmt::format("{}#{}", task.name.empty() ? "task" : task.name, task.id);
}

using ById = std::unordered_map<std::uint64_t, const LintTask*>;

ById by_id(std::span<const LintTask> tasks)
{
    ById found;
    for (const auto& task : tasks) found.emplace(task.id, &task);
    return found;
}

void self_wakes(std::vector<TaskLint>& lints, std::span<const LintTask> now, const ById& before,
                std::uint64_t elapsed_ns)
{
    for (const auto& task : now) {
        const auto earlier = before.find(task.id);
        if (task.waited || earlier == before.end() || task.resumes < earlier->second->resumes) continue;
        const auto resumes = task.resumes - earlier->second->resumes;
        const auto a_second = static_cast<double>(resumes) * 1e9 / static_cast<double>(elapsed_ns);
        if (a_second < self_wakes_a_second) continue;
        lints.push_back({"self_wake",
                         fmt::format("{} wakes itself all the time: {:.0f} resumes a second, and it waits for nothing",
                                     named(task), a_second),
                         task.id, 0});
    }
}

// It has not gone on in between.
bool stood_still(const LintTask& task, const ById& before)
{
    const auto earlier = before.find(task.id);
    return earlier != before.end() && task.resumes == earlier->second->resumes &&
           task.running == earlier->second->running && task.awaits == earlier->second->awaits &&
           task.holder == earlier->second->holder;
}

void never_yield(std::vector<TaskLint>& lints, std::span<const LintTask> now, const ById& before,
                 std::uint64_t elapsed_ns)
{
    for (const auto& task : now)
        if (task.running && stood_still(task, before))
            lints.push_back(
                {"never_yields",
                 fmt::format("{} has run for {} without an await that waits", named(task), format_duration(elapsed_ns)),
                 task.id, 0});
}

// They wait for each other, in a circle: told of the first of them. A lock may be handed to another task than the one
// that took it, but not while that waits.
void cannot_wake(std::vector<TaskLint>& lints, std::span<const LintTask> now, const ById& before)
{
    std::vector<TaskLink> links;
    for (const auto& task : now)
        links.push_back({task.id, stood_still(task, before) ? (task.awaits ? task.awaits : task.holder) : 0});
    for (const auto& cycle : task_tree(links).cycles) {
        std::string circle;
        for (const auto at : cycle) circle += named(now[at]) + " → ";
        lints.push_back(
            {"cannot_wake",
             fmt::format("nobody can wake {}: {}{}", named(now[cycle.front()]), circle, named(now[cycle.front()])),
             now[cycle.front()].id, 0});
    }
}

std::map<std::uint64_t, std::uint64_t> by_place(std::span<const LintTask> tasks)
{
    std::map<std::uint64_t, std::uint64_t> count;
    for (const auto& task : tasks) ++count[task.created_at];
    return count;
}

void growing_sites(std::vector<TaskLint>& lints, std::span<const LintTask> now, std::span<const LintTask> before)
{
    const auto then = by_place(before);
    for (const auto& [place, count] : by_place(now)) {
        const auto known = then.find(place);
        const auto earlier = known == then.end() ? 0 : known->second;
        if (place == 0 || count < earlier + growth_least || count < 2 * earlier) continue;
        lints.push_back(
            {"growing_site", fmt::format("{} live tasks, {} at the look before", count, earlier), 0, place});
    }
}

// One a coroutine: the ten thousand sessions of a server have the same.
void large_frames(std::vector<TaskLint>& lints, std::span<const LintTask> now, std::uint64_t most)
{
    struct Kept {
        std::uint64_t bytes = 0, tasks = 0;
    };
    std::map<std::uint64_t, Kept> by_coroutine;
    for (const auto& task : now) {
        if (task.frame_bytes <= most) continue;
        auto& kept = by_coroutine[task.frame_of];
        kept.bytes = task.frame_bytes;
        ++kept.tasks;
    }
    for (const auto& [coroutine, kept] : by_coroutine)
        lints.push_back({"large_frame",
                         fmt::format("{} in one coroutine's frame, of {} live task{}", format_bytes(kept.bytes),
                                     kept.tasks, kept.tasks == 1 ? "" : "s"),
                         0, coroutine});
}

}  // namespace

std::vector<TaskLint> lint_tasks(std::span<const LintTask> now, std::span<const LintTask> before,
                                 std::uint64_t elapsed_ns, std::uint64_t max_frame)
{
    std::vector<TaskLint> lints;
    if (before.empty() || elapsed_ns == 0) return lints;
    const auto earlier = by_id(before);
    self_wakes(lints, now, earlier, elapsed_ns);
    never_yield(lints, now, earlier, elapsed_ns);
    cannot_wake(lints, now, earlier);
    growing_sites(lints, now, before);
    large_frames(lints, now, max_frame);
    return lints;
}

}  // namespace loopwatch
