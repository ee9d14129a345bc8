// SPDX-License-Identifier: Apache-2.0
#include "output/text_format.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <span>
#include <tuple>

#include "analysis/frames.hpp"
#include "analysis/function_name.hpp"
#include "analysis/kind.hpp"
#include "output/record_fields.hpp"
#include "util/duration.hpp"
#include "util/text.hpp"

namespace loopwatch {
namespace {

// More frames than fit on a screen help nobody; NDJSON has them all.
constexpr std::size_t shown_frames = 24;
constexpr std::size_t shown_sources = 6;
constexpr std::size_t widest_function = 48;

// "   label    text": the label stands on a section's first line only.
class Sections {
public:
    explicit Sections(const TextStyle& style) : style_(style) {}

    void begin(std::string_view label) { label_ = label; }
    void line(std::string_view text)
    {
        text_ += fmt::format("   {} {}\n", style_.faint(fmt::format("{:<8}", label_)), text);
        label_ = {};
    }
    std::string take() { return std::move(text_); }

private:
    const TextStyle& style_;
    std::string_view label_;
    std::string text_;
};

std::string location_text(const Location& location)
{
    if (location.file.empty()) return escape_terminal(location.function);
    const std::string line = fmt::format("{}:{}", escape_terminal(location.file), location.line);
    return location.function.empty() ? line : fmt::format("{} ({})", escape_terminal(location.function), line);
}

// By the name that "watching" says, where a finding's subject is its thread.
std::string whose(Subject subject, const TextContext& context)
{
    if (!context.several) return {};
    if (const auto known = context.processes.find(subject.pid); known != context.processes.end())
        subject.comm = known->second;
    return process_name(subject) + ": ";
}

std::string headline(const auto& finding, Number number, const TextContext& context)
{
    return fmt::format("{} {}  {}{}{}\n", context.style.alarm(fmt::format("#{}", number.own)),
                       context.style.faint(context.anchor.time_of_day(finding.end_ns)), whose(finding.subject, context),
                       context.style.strong(escape_terminal(finding.verdict)),
                       number.like == number.own ? "" : fmt::format(" (like #{})", number.like));
}

void add_breakdown(Sections& out, const Breakdown& breakdown)
{
    const std::pair<std::uint64_t, std::string_view> parts[] = {
        {breakdown.blocked_ns, "blocked"},
        {breakdown.cpu_ns, "on CPU"},
        {breakdown.runq_ns, "waiting for a CPU"},
        {breakdown.throttled_ns, "throttled by its cgroup"},
        {breakdown.stopped_ns, "stopped by a signal"},
        {breakdown.other_ns, "unaccounted for"},
    };
    std::vector<std::string> shown;
    for (const auto& [ns, what] : parts) {
        if (ns != 0) shown.push_back(fmt::format("{} {}", format_duration(ns), what));
    }
    out.begin("time");
    if (!shown.empty()) out.line(fmt::format("{}", fmt::join(shown, ", ")));
}

// "timeout_ns", "500000" → "timeout", "500 us": people read durations, not nanoseconds.
std::pair<std::string, std::string> spoken(std::string_view name, const std::string& value)
{
    std::uint64_t ns = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), ns);
    const bool is_duration = name.ends_with("_ns") && error == std::errc{} && end == value.data() + value.size();
    if (!is_duration) return {escape_terminal(name), escape_terminal(value)};
    name.remove_suffix(3);
    return {escape_terminal(name), format_duration(ns)};
}

std::string call_text(const Source& source)
{
    std::vector<std::string> arguments;
    for (const auto& argument : source.args) {
        const auto [name, value] = spoken(argument.first, argument.second);
        arguments.push_back(fmt::format("{}={}", name, value));
    }
    if (source.call.empty()) return fmt::format("{}", fmt::join(arguments, ", "));
    return fmt::format("{}({})", escape_terminal(source.call), fmt::join(arguments, ", "));
}

std::string waker_text(const Source& source)
{
    if (source.waker) {
        return fmt::format(", woken by {} (tid {})", escape_terminal(source.waker->comm), source.waker->tid);
    }
    if (source.woken_by == WokenBy::unknown || source.woken_by == WokenBy::thread) return {};
    return fmt::format(", woken by {}",
                       source.woken_by == WokenBy::irq ? "an interrupt" : woken_by_name(source.woken_by));
}

std::string source_text(const Source& source, bool with_place)
{
    std::string text = fmt::format("{:>7}  {:<10}  {}", format_duration(source.duration_ns), kind_name(source.kind),
                                   call_text(source));
    if (source.kind == Kind::cpu && source.count != 0) text += " " + counted(source.count, "sample");
    if (source.kind != Kind::cpu && source.count > 1) {
        text += fmt::format(" in {} waits, longest {}", source.count, format_duration(source.longest_ns));
    }
    const std::string where = with_place ? place_text(culprit_frame(source.stack)) : std::string();
    if (!where.empty()) text += " " + escape_terminal(where);
    text += waker_text(source);
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

void add_sources(Sections& out, const SlowCallback& slow)
{
    out.begin("sources");
    for (std::size_t i = 0; i < slow.sources.size() && i < shown_sources; ++i) {
        // The first one's place is in the verdict, and its stack follows.
        out.line(source_text(slow.sources[i], i > 0));
    }
    if (slow.sources.size() > shown_sources) out.line(fmt::format("… {} more", slow.sources.size() - shown_sources));
}

std::string frame_place(const Frame& frame)
{
    if (!frame.file.empty() && frame.line == 0) return escape_terminal(frame.file);
    if (!frame.file.empty()) return fmt::format("{}:{}", escape_terminal(frame.file), frame.line);
    const std::string module = frame.module.substr(frame.module.rfind('/') + 1);
    return module.empty() ? std::string() : fmt::format("{}+{:#x}", escape_terminal(module), frame.offset);
}

std::string frame_function(const Frame& frame)
{
    if (frame.function.empty()) return "?";
    return escape_terminal(frame.function.size() > widest_function ? spoken_name(frame.function) : frame.function);
}

// Algorithms and containers that the compiler inlined are noise around the line that called them.
std::vector<Frame> without_inlined_libraries(std::span<const Frame> frames)
{
    std::vector<Frame> shown;
    std::ranges::copy_if(frames, std::back_inserter(shown),
                         [](const Frame& frame) { return !frame.inlined || owner_of(frame) != FrameOwner::library; });
    return shown;
}

// In what is shown of a frame.
bool looks_alike(const Frame& one, const Frame& other)
{
    const auto shown = [](const Frame& frame) {
        return std::tie(frame.function, frame.module, frame.offset, frame.file, frame.line, frame.inlined,
                        frame.truncated);
    };
    return shown(one) == shown(other);
}

void add_stack(Sections& out, const std::vector<Frame>& stack)
{
    out.begin("stack");
    const UserPart part = user_part(stack);
    auto frames = without_inlined_libraries(part.frames);
    const std::size_t library_frames = part.frames.size() - frames.size();
    const std::size_t cut = frames.size() - std::min(frames.size(), shown_frames);
    frames.resize(frames.size() - cut);
    std::vector<std::string> functions;
    std::size_t width = 0;
    for (const Frame& frame : frames) {
        functions.push_back(frame_function(frame));
        if (functions.back().size() <= widest_function) width = std::max(width, functions.back().size());
    }
    for (std::size_t i = 0; i < frames.size(); ++i) {
        out.line(fmt::format("{:<{}}  {}{}", functions[i], width, frame_place(frames[i]),
                             frames[i].inlined ? " (inlined)" : ""));
    }
    if (library_frames != 0) out.line(fmt::format("… {} left out", counted(library_frames, "inlined library frame")));
    const std::size_t hidden = part.hidden + cut;
    if (hidden != 0) out.line(fmt::format("… {}, of the loop and what started it", counted(hidden, "more frame")));
    if (!stack.empty() && stack.back().truncated) out.line("… truncated: the rest of the stack could not be read");
}

// With --kernel-stacks: where in the kernel the first source slept.
void add_kernel_stack(Sections& out, const SlowCallback& slow)
{
    out.begin("kernel");
    if (slow.sources.empty()) return;
    for (const Frame& frame : slow.sources.front().kernel_stack) out.line(frame_function(frame));
}

void add_task(Sections& out, const TaskInfo& task)
{
    std::string text =
        fmt::format("{}#{}", escape_terminal(task.name.empty() ? "task" : task.name), escape_terminal(task.id));
    for (const auto& [name, value] : task.labels) {
        text += fmt::format(", {}={}", escape_terminal(name), escape_terminal(value));
    }
    if (task.created_at.known()) text += ", created at " + location_text(task.created_at);
    if (task.resumed_at.known()) text += ", resumed at " + location_text(task.resumed_at);
    out.begin("task");
    out.line(text);
    out.begin("awaited");
    // The innermost entry is the coroutine that ran: the stack shows it.
    for (std::size_t i = 1; i < task.await_chain.size(); ++i) out.line("by " + location_text(task.await_chain[i]));
}

// What stands in the line of a task's event.
std::vector<std::string> parts_of(const TaskEvent& event)
{
    std::vector<std::string> parts;
    const auto named = std::ranges::find(event.fields, "name", &std::pair<std::string, std::string>::first);
    const bool has_name = named != event.fields.end() && event.type != "task_created";
    if (!event.task_id.empty())
        parts.push_back(escape_terminal(has_name ? named->second + "#" + event.task_id : "task " + event.task_id));
    if (!event.loop_id.empty()) parts.push_back("loop " + escape_terminal(event.loop_id));
    for (const auto& field : event.fields) {
        if (has_name && field.first == "name") continue;
        if (field.first == "in_task" && field.second == event.task_id) continue;
        const auto [name, value] = spoken(field.first, field.second);
        parts.push_back(fmt::format("{} {}", name, value));
    }
    for (const auto& [name, value] : event.labels)
        parts.push_back(fmt::format("{}={}", escape_terminal(name), escape_terminal(value)));
    for (const auto& [name, location] : event.locations)
        if (location.known()) parts.push_back(fmt::format("{} {}", escape_terminal(name), location_text(location)));
    return parts;
}

}  // namespace

std::string process_name(const Subject& subject)
{
    return fmt::format("{} (pid {})", escape_terminal(subject.comm), subject.pid);
}

std::string headline_of(const SlowCallback& slow, Number number, const TextContext& context)
{
    return headline(slow, number, context);
}

std::string text_of(const SlowCallback& slow, Number number, const TextContext& context, std::span<const Frame> shown)
{
    Sections out(context.style);
    add_breakdown(out, slow.breakdown);
    add_sources(out, slow);
    if (!shown.empty() && std::ranges::equal(slow.stack, shown, looks_alike)) {
        out.begin("stack");
        out.line("as above, while it ran");
    } else {
        add_stack(out, slow.stack);
    }
    add_kernel_stack(out, slow);
    if (slow.task) add_task(out, *slow.task);
    if (slow.impact && slow.impact->tasks_delayed != 0) {
        out.begin("impact");
        out.line(fmt::format("{} {} waited up to {}, {} in all", slow.impact->tasks_delayed,
                             slow.impact->tasks_delayed == 1 ? "task" : "tasks",
                             format_duration(slow.impact->max_delay_ns), format_duration(slow.impact->total_delay_ns)));
    }
    out.begin("thread");
    out.line(fmt::format("{}, pid {} tid {}", escape_terminal(slow.subject.comm), slow.subject.pid, slow.subject.tid));
    return headline(slow, number, context) + out.take() + "\n";
}

std::string text_of(const BlockingCall& call, Number number, const TextContext& context)
{
    return headline(call, number, context);
}

std::string text_of(const TaskEvent& event, const TextContext& context)
{
    std::string text = fmt::format("{}  {}", context.style.faint(context.anchor.time_of_day(event.at_ns)),
                                   context.style.strong(escape_terminal(event.type)));
    for (const auto& row : json::task_event_types())
        if (row.type == event.type && !row.words.empty())
            text += fmt::format(" {}{}", row.words, row.words.ends_with('!') ? "" : ":");
    const auto parts = parts_of(event);
    text += fmt::format("{}{}\n", parts.empty() ? "" : " ", fmt::join(parts, ", "));
    Sections out(context.style);
    if (!event.stack.empty()) add_stack(out, event.stack);
    // That it stands where it is created, or at the await that was just named, is no news.
    if (event.await_chain.size() > 1) {
        out.begin("stands");
        for (std::size_t i = 0; i < event.await_chain.size(); ++i)
            out.line((i == 0 ? "at " : "awaited by ") + location_text(event.await_chain[i]));
    }
    return text + out.take();
}

}  // namespace loopwatch
