// SPDX-License-Identifier: Apache-2.0
#include "output/task_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "util/duration.hpp"
#include "util/text.hpp"

namespace loopwatch {

namespace {

std::string named(const TaskInfo& task)
{
    return escape_terminal(task.name.empty() ? "task" : task.name) + "#" + task.id;
}

std::string loop_of(const ListedTask& listed)
{
    return escape_terminal(listed.loop.name.empty() ? listed.loop.id : listed.loop.name);
}

std::string place(const Location& at)
{
    if (!at.known()) return "?";
    const auto file = at.file.empty() ? std::string() : fmt::format(" {}:{}", base_name(at.file), at.line);
    return escape_terminal(at.function + file);
}

// Where a task stands: its innermost coroutine.
std::string stands_at(const ListedTask& listed)
{
    return listed.task.await_chain.empty() ? "?" : place(listed.task.await_chain.front());
}

std::string cancellation(const ListedTask& listed)
{
    if (listed.cancel_requests == 0) return "";
    auto text = std::string(", asked to stop");
    if (listed.cancel_requests > 1) text += fmt::format(" {} times", listed.cancel_requests);
    if (!listed.cancelled_by.empty()) text += " by #" + listed.cancelled_by;
    if (!listed.cancel_reason.empty()) text += fmt::format(" ({})", escape_terminal(listed.cancel_reason));
    return text;
}

using Row = std::array<std::string, 6>;

const Row titles = {"TASK", "STATE", "LOOP", "AWAITS", "CREATED AT", "STANDS AT"};

Row row_of(const ListedTask& listed)
{
    const auto& created = listed.task.created_at;
    return {named(listed.task),
            listed.task.state,
            loop_of(listed),
            listed.awaits.empty() ? "" : "#" + listed.awaits,
            created.known() ? fmt::format("{}:{}", escape_terminal(base_name(created.file)), created.line) : "?",
            stands_at(listed) + cancellation(listed)};
}

// As far in as the longest chain of one task goes. Without an end, 10,000 tasks that wait for each other in a row are
// 600 MB of blanks.
constexpr std::size_t deepest = 3 * 64;

// Its coroutines, outermost first, each one step further in; then whom it awaits.
void draw(std::string& text, const TaskSource& tasks, const TaskTree& tree, std::size_t at, std::vector<bool>& drawn,
          const TextStyle& style)
{
    std::string indent;
    const auto go_in = [&] {
        if (indent.size() < deepest) indent += "   ";
    };
    for (bool awaited = false; at != TaskTree::none; at = tree.awaits[at], awaited = true) {
        const auto listed = tasks.at(at);
        text += fmt::format("{}{}{}  {}{}\n", indent, awaited ? "└─ awaits " : "", style.strong(named(listed.task)),
                            listed.task.state, cancellation(listed));
        if (drawn[at]) break;
        drawn[at] = true;
        if (awaited) go_in();
        const auto& chain = listed.task.await_chain;
        for (std::size_t i = chain.size(); i-- > 0;) {
            text += fmt::format("{}└─ {}\n", indent, place(chain[i]));
            go_in();
        }
    }
}

}  // namespace

std::string task_table(const TaskSource& tasks, const TextStyle& style)
{
    constexpr std::size_t widest = 40;  // but for the last column
    std::array<std::size_t, std::tuple_size_v<Row>> widths{};
    const auto widen = [&](const Row& row) {
        for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], std::min(row[i].size(), widest));
    };
    const auto line = [&](const Row& row) {
        std::string text;
        for (std::size_t i = 0; i + 1 < row.size(); ++i) text += fmt::format("{:<{}}  ", row[i], widths[i]);
        return text + row.back();
    };
    widen(titles);
    for (std::size_t i = 0; i < tasks.links.size(); ++i) widen(row_of(tasks.at(i)));
    auto text = style.faint(line(titles)) + "\n";
    for (std::size_t i = 0; i < tasks.links.size(); ++i) text += line(row_of(tasks.at(i))) + "\n";
    return text;
}

std::string task_forest(const TaskSource& tasks, const TextStyle& style)
{
    const auto tree = task_tree(tasks.links);
    std::vector<bool> drawn(tasks.links.size(), false);
    std::string text;
    for (const auto root : tree.roots) draw(text, tasks, tree, root, drawn, style);
    for (const auto& cycle : tree.cycles) {
        text += style.alarm("these wait for each other:");
        for (const auto at : cycle) text += fmt::format(" {} →", named(tasks.at(at).task));
        text += fmt::format(" {}\n", named(tasks.at(cycle.front()).task));
        draw(text, tasks, tree, cycle.front(), drawn, style);
    }
    return text;
}

std::string whole_task(const ListedTask& listed, const TextStyle& style)
{
    const auto& task = listed.task;
    auto text = fmt::format("{}  {} on loop {}{}\n", style.strong(named(task)), task.state, loop_of(listed),
                            cancellation(listed));
    text +=
        fmt::format("created  {}{}\n", place(task.created_at), task.parent_id.empty() ? "" : " by #" + task.parent_id);
    if (!listed.awaits.empty()) text += fmt::format("awaits   #{}\n", listed.awaits);
    for (std::size_t i = 0; i < task.await_chain.size(); ++i)
        text += fmt::format("{}{}\n", i == 0 ? "stands   " : "awaited  ", place(task.await_chain[i]));
    return text;
}

std::string text_of(const TaskListEnd& end, const TextStyle& style)
{
    auto text =
        style.faint(fmt::format("{} tasks of {} (pid {}), read in {}", end.tasks, escape_terminal(end.subject.comm),
                                end.subject.pid, format_duration(end.duration_ns))) +
        "\n";
    for (const auto& warning : end.warnings) text += "warning: " + escape_terminal(warning) + "\n";
    return text;
}

}  // namespace loopwatch
