// SPDX-License-Identifier: Apache-2.0
#include "output/task_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>

#include "analysis/frames.hpp"
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

std::string place_of_task(const Location& at)
{
    if (!at.known()) return "?";
    const auto file = at.file.empty() ? std::string() : fmt::format(" {}:{}", base_name(at.file), at.line);
    return escape_terminal(at.function + file);
}

// Where a task stands: its innermost coroutine.
std::string stands_at(const ListedTask& listed)
{
    return listed.task.await_chain.empty() ? "?" : place_of_task(listed.task.await_chain.front());
}

// Durations of a second and more, as far as one cares.
std::string rough(std::uint64_t ns)
{
    const auto seconds = ns / 1'000'000'000;
    if (seconds < 10) return format_duration(ns);
    if (seconds < 60) return fmt::format("{} s", seconds);
    if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
    if (seconds < 86400) return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
    return fmt::format("{}d{:02}h", seconds / 86400, seconds / 3600 % 24);
}

std::string cancellation(const ListedTask& listed)
{
    if (listed.cancel_requests == 0) return "";
    auto text = std::string(", asked to stop");
    if (listed.cancel_requests > 1) text += fmt::format(" {} times", listed.cancel_requests);
    if (listed.cancelling_ns) text += fmt::format(" {} ago", rough(*listed.cancelling_ns));
    if (!listed.cancelled_by.empty()) text += " by #" + listed.cancelled_by;
    if (!listed.cancel_reason.empty()) text += fmt::format(" ({})", escape_terminal(listed.cancel_reason));
    return text;
}

std::string in_words(const WaitingFor& what)
{
    auto text = what.name.empty() && what.kind != "io" ? what.kind : what.name;
    if (!what.name.empty() && what.kind != "io") text = what.kind + " " + what.name;
    if (what.fd) {
        text += fmt::format("({}", *what.fd);
        if (!what.peer.empty())
            text += " → " + what.peer;
        else if (!what.local.empty())  // it listens
            text += " at " + what.local;
        else if (!what.target.empty())
            text += " → " + what.target;
        text += ")";
    }
    if (what.remaining_ns) text += *what.remaining_ns == 0 ? ", due" : ", " + rough(*what.remaining_ns) + " left";
    if (!what.holder.empty()) text += ", held by #" + what.holder;
    if (what.values) text += *what.values == 0 ? ", empty" : fmt::format(", full: {}", *what.values);
    return escape_terminal(text);
}

std::string waits_for(const ListedTask& listed)
{
    if (!listed.awaits.empty()) return "#" + listed.awaits;
    return listed.waiting_for ? in_words(*listed.waiting_for) : "";
}

std::string labels_of(const TaskInfo& task)
{
    std::string text;
    for (const auto& [key, value] : task.labels) text += fmt::format("{}{}={}", text.empty() ? "" : " ", key, value);
    return escape_terminal(text);
}

using Row = std::array<std::string, 9>;

const Row titles = {"TASK", "STATE", "LOOP", "AGE", "BUSY", "RESUMES", "WAITS FOR", "CREATED AT", "STANDS AT"};

Row row_of(const ListedTask& listed)
{
    const auto& created = listed.task.created_at;
    return {
        named(listed.task),
        listed.task.state,
        loop_of(listed),
        listed.age_ns == 0 ? "" : rough(listed.age_ns),
        listed.busy_ns == 0 ? "" : format_duration(listed.busy_ns),
        std::to_string(listed.resumes),
        waits_for(listed),
        created.known() ? fmt::format("{}:{}", escape_terminal(base_name(created.file)), created.line) : "?",
        stands_at(listed) + cancellation(listed) + (listed.task.labels.empty() ? "" : "  " + labels_of(listed.task))};
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
        text += fmt::format("{}{}{}  {}{}{}\n", indent, awaited ? "└─ awaits " : "", style.strong(named(listed.task)),
                            listed.task.state, listed.waiting_for ? ": " + in_words(*listed.waiting_for) : "",
                            cancellation(listed));
        if (drawn[at]) break;
        drawn[at] = true;
        if (awaited) go_in();
        const auto& chain = listed.task.await_chain;
        for (std::size_t i = chain.size(); i-- > 0;) {
            text += fmt::format("{}└─ {}\n", indent, place_of_task(chain[i]));
            go_in();
        }
    }
}

}  // namespace

// Each task is looked at once, and its row kept as plain text until the widths are known.
Result<void> task_table(const TaskSource& tasks, const TextStyle& style,
                        const std::function<Result<void>(std::string_view lines)>& write)
{
    constexpr std::size_t widest = 40, at_a_time = 64 << 10;  // the last column is as wide as it is
    std::array<std::size_t, std::tuple_size_v<Row>> widths{};
    // Each cell ends with a NUL: escaped text has none. A string that grows by doubling is there twice.
    std::vector<std::string> rows(1);
    const auto keep = [&](const Row& row) {
        if (rows.back().size() >= at_a_time) rows.emplace_back().reserve(at_a_time + 4096);
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], std::min(row[i].size(), widest));
            rows.back().append(row[i]).push_back('\0');
        }
    };
    keep(titles);
    for (std::size_t i = 0; i < tasks.links.size(); ++i) keep(row_of(tasks.at(i)));

    for (bool is_title = true; const auto& kept : rows) {
        std::string lines;
        for (std::string_view rest = kept; !rest.empty(); is_title = false) {
            std::string line;
            for (std::size_t i = 0; i < widths.size(); ++i) {
                const auto cell = rest.substr(0, rest.find('\0'));
                rest.remove_prefix(cell.size() + 1);
                const bool is_last = i + 1 == widths.size();
                fmt::format_to(std::back_inserter(line), "{:<{}}{}", cell, is_last ? 0 : widths[i],
                               is_last ? "" : "  ");
            }
            lines += (is_title ? style.faint(line) : line) + "\n";
        }
        if (auto written = write(lines); !written) return written;
    }
    return {};
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
    text += fmt::format("created  {}{}\n", place_of_task(task.created_at),
                        task.parent_id.empty() ? "" : " by #" + task.parent_id);
    for (const auto& frame : user_part(listed.created_stack).frames)
        if (owner_of(frame) == FrameOwner::user)
            text += fmt::format("         {}\n", escape_terminal(place_text(&frame)));
    if (listed.age_ns != 0)
        text += fmt::format("age      {}, resumed {}", rough(listed.age_ns), counted(listed.resumes, "time"));
    if (listed.busy_ns != 0)
        text += fmt::format(", {} in its dispatches while watched", format_duration(listed.busy_ns));
    if (listed.age_ns != 0) text += "\n";
    if (!task.labels.empty()) text += fmt::format("labels   {}\n", labels_of(task));
    if (const auto what = waits_for(listed); !what.empty())
        text += fmt::format("{}   {}\n", listed.awaits.empty() ? "waits " : "awaits", what);
    for (std::size_t i = 0; i < task.await_chain.size(); ++i)
        text += fmt::format("{}{}{}\n", i == 0 ? "stands   " : "awaited  ", place_of_task(task.await_chain[i]),
                            i < listed.frame_bytes.size() && listed.frame_bytes[i] != 0
                                ? ", frame " + format_bytes(listed.frame_bytes[i])
                                : "");
    return text;
}

std::string text_of(const TaskListEnd& end, const TextStyle& style)
{
    auto text =
        style.faint(fmt::format("{} of {} (pid {}), read in {}", counted(end.tasks, "task"),
                                escape_terminal(end.subject.comm), end.subject.pid, format_duration(end.duration_ns))) +
        "\n";
    if (end.tasks == 0 && end.warnings.empty())
        text +=
            style.faint("none runs now; what Asio tracking alone was built into has dispatches, but no tasks") + "\n";
    for (const auto& lint : end.lints)
        text += fmt::format("{} {}; created at {}\n", style.alarm(lint.rule + ":"), escape_terminal(lint.text),
                            place_of_task(lint.created_at));
    for (const auto& warning : end.warnings) text += "warning: " + escape_terminal(warning) + "\n";
    return text;
}

}  // namespace loopwatch
