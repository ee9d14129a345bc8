// SPDX-License-Identifier: Apache-2.0
#include "analysis/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "analysis/frames.hpp"
#include "analysis/kind.hpp"
#include "analysis/parts.hpp"
#include "util/duration.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t most_clauses = 4;
constexpr std::uint64_t nearly_all_percent = 90;
constexpr std::uint64_t most_percent = 50;  // of the samples: from here on "mostly" is true

const std::string* argument(const Source& source, std::string_view name)
{
    for (const auto& [key, value] : source.args)
        if (key == name) return &value;
    return nullptr;
}

std::uint64_t number(const std::string* text)
{
    std::uint64_t value = 0;
    if (text != nullptr) std::from_chars(text->data(), text->data() + text->size(), value);
    return value;
}

// "pipe:[123]" → "pipe", "anon_inode:[eventfd]" → "eventfd": inode numbers say nothing to a person.
std::string spoken_target(std::string_view target)
{
    if (target.starts_with("anon_inode:[")) {
        target.remove_prefix(std::string_view("anon_inode:[").size());
        return std::string(target.substr(0, target.find(']')));
    }
    if (target.starts_with("fifo:")) return std::string(target.substr(5));
    return std::string(target.substr(0, target.find(":[")));
}

std::string who(const std::optional<TaskInfo>& task)
{
    if (!task) return "a callback";
    return fmt::format("{}#{}", task->name.empty() ? "task" : task->name, task->id);
}

// ", of a#7 and others,", by those that were met.
std::string of_tasks(const SlowCallback& slow)
{
    if (!slow.tasks || slow.tasks->empty()) return {};
    const auto& first = slow.tasks->front();
    return fmt::format(", of {}#{}{},", first.name.empty() ? "task" : first.name, first.id,
                       slow.tasks->size() > 1 ? " and others" : "");
}

std::string which(const LoopInfo& loop)
{
    if (!loop.name.empty()) return "loop " + loop.name;
    return loop.id.empty() ? "its loop" : "loop " + loop.id;
}

std::string at_place(const Source& source)
{
    const auto place = place_text(culprit_frame(source.stack));
    return place.empty() ? place : " " + place;
}

// Who ended a wait, and where it stood: a lock is released, anything else merely ends.
std::string ended_by(const Source& source, std::uint32_t own_pid)
{
    static constexpr Kind by_others[] = {Kind::lock,    Kind::file_lock, Kind::pipe,
                                         Kind::network, Kind::process,   Kind::nested_wait};
    if (std::ranges::find(by_others, source.kind) == std::end(by_others)) return {};
    if (source.woken_by != WokenBy::thread || !source.waker || source.waker->comm.empty()) return {};
    const bool lock = source.kind == Kind::lock || source.kind == Kind::file_lock;
    const auto& waker = *source.waker;
    const auto place = place_text(culprit_frame(waker.stack));
    const auto starved = waker.runq_ns != 0 && waker.runq_ns >= source.longest_ns / 2
                             ? fmt::format(", which waited {} of it for a CPU", format_duration(waker.runq_ns))
                             : std::string();
    return fmt::format(", {} by {} {} ({} {}){}{}{}", lock ? "released" : "ended",
                       waker.pid == own_pid ? "thread" : "process", waker.comm, waker.pid == own_pid ? "tid" : "pid",
                       waker.pid == own_pid ? waker.tid : waker.pid, place.empty() ? "" : " ", place, starved);
}

std::string on_cpu(const Source& source)
{
    const auto* culprit = culprit_frame(source.stack);
    if (culprit == nullptr) return "on CPU";
    const auto* often = number(argument(source, "share_percent")) >= most_percent ? "mostly" : "much of it";
    auto place = place_text(culprit);
    // "at json.cpp:12 (parse)" reads better turned round after "mostly".
    const auto name = place.find(" (");
    if (name == place.npos) return fmt::format("on CPU, {} {}", often, place);
    const auto function = place.substr(name + 2, place.size() - name - 3);
    return fmt::format("on CPU, {} in {} {}", often, function, place.substr(0, name));
}

std::string preempted_by(const Source& source)
{
    const auto* comm = argument(source, "preempted_by");
    const auto* pid = argument(source, "preempted_by_pid");
    if (!comm || !pid) return {};
    const auto* percent = argument(source, "preempted_percent");
    const bool nearly_all = !percent || number(percent) >= nearly_all_percent;
    const auto* own_tid = argument(source, "preempted_by_tid");
    return fmt::format(", preempted by {}{} ({} {}){}", own_tid ? "its own thread " : "", *comm,
                       own_tid ? "tid" : "pid", own_tid ? *own_tid : *pid,
                       nearly_all ? "" : fmt::format(" for {} % of it", *percent));
}

std::string doing(const Source& source, std::uint32_t own_pid)
{
    switch (source.kind) {
        case Kind::cpu: return on_cpu(source);
        case Kind::run_queue: return "waiting for a CPU" + preempted_by(source);
        case Kind::cpu_throttle: return "throttled by its CPU quota";
        case Kind::stopped: return "stopped";
        case Kind::page_fault: return "in page faults" + at_place(source);
        case Kind::nested_wait:
            return fmt::format("in a nested wait, {}{}{}", call_text(source), at_place(source),
                               ended_by(source, own_pid));
        case Kind::other:
            if (const auto* reason = argument(source, "reason"))
                return *reason == before_session ? "unknown, before the session could see it"
                       : *reason == cpu_or_wait  ? *reason + " (without root it is not known which)"
                                                 : *reason;
            if (source.call.empty()) return "blocked elsewhere";
            [[fallthrough]];
        default: return fmt::format("in {}{}{}", call_text(source), at_place(source), ended_by(source, own_pid));
    }
}

std::string impact_text(const std::optional<Impact>& impact)
{
    if (!impact || impact->tasks_delayed == 0) return {};
    const auto longest = format_duration(impact->max_delay_ns);
    if (impact->tasks_delayed == 1) return fmt::format("; 1 task waited {}", longest);
    return fmt::format("; {} tasks waited up to {}", impact->tasks_delayed, longest);
}

// "save#17 waited 118 ms for a CPU and so held loop main for 130 ms", when most of it was not the code's doing.
// `held_format`: one of ours, for the loop's name and how long.
std::string opening(const SlowCallback& slow, std::string_view held_format, bool blameless)
{
    const auto held = fmt::format(fmt::runtime(held_format), which(slow.loop), format_duration(slow.duration_ns));
    const auto whose = slow.scope != "iteration" ? who(slow.task)
                       : slow.dispatches ? fmt::format("{} dispatches in one go{}", *slow.dispatches, of_tasks(slow))
                                         : "an iteration";
    if (!blameless) return fmt::format("{} {}", whose, held);
    const auto& cause = slow.sources.front();
    const auto lost = format_duration(cause.duration_ns);
    const auto preempted = preempted_by(cause);
    const auto what = cause.kind == Kind::run_queue
                          ? fmt::format("waited {} for a CPU{}", lost, preempted.empty() ? "" : preempted + ",")
                      : cause.kind == Kind::stopped ? fmt::format("was stopped for {}", lost)
                                                    : fmt::format("was throttled by its CPU quota for {}", lost);
    return fmt::format("{} {} and so {}", whose, what, held);
}

std::string clause(const Source& source, std::uint64_t whole_ns, std::uint32_t own_pid)
{
    const bool all = source.duration_ns >= whole_ns - whole_ns / 100;
    return fmt::format("{} {}", all ? "all of it" : format_duration(source.duration_ns), doing(source, own_pid));
}

}  // namespace

std::string call_text(const Source& source)
{
    std::string inside;
    if (const auto* fd = argument(source, "fd")) inside = *fd;
    const auto* target = argument(source, "path");
    if (target == nullptr) target = argument(source, "peer");
    const auto* raw = argument(source, "target");
    if (target != nullptr || raw != nullptr) {
        if (!inside.empty()) inside += " → ";
        inside += target != nullptr ? *target : spoken_target(*raw);
    }
    for (const auto* name : {"host", "command", "lock", "text"})
        if (const auto* value = argument(source, name); value != nullptr && inside.empty()) inside = *value;
    if (const auto* pid = argument(source, "pid"); pid != nullptr && inside.empty() && !pid->starts_with('-'))
        inside = "pid " + *pid;
    if (const auto* asked = argument(source, "requested_ns")) inside = format_duration(number(asked));
    if (const auto* timeout = argument(source, "timeout_ns"))
        inside += fmt::format("{}time-out {}", inside.empty() ? "" : ", ", format_duration(number(timeout)));
    return inside.empty() ? source.call : fmt::format("{}({})", source.call, inside);
}

namespace {

std::string verdict_of_dispatch(const SlowCallback& slow, std::string_view held_format)
{
    const bool blameless = !slow.sources.empty() && !is_the_codes_doing(slow.sources.front().kind) &&
                           slow.sources.front().duration_ns >= slow.duration_ns / 2;
    std::vector<std::string> clauses;
    std::uint64_t more_ns = 0;
    for (std::size_t i = blameless ? 1 : 0; i < slow.sources.size(); ++i) {
        const bool tells = slow.sources[i].duration_ns >= slow.duration_ns / 100 || clauses.empty();
        if (tells && clauses.size() < most_clauses)
            clauses.push_back(clause(slow.sources[i], slow.duration_ns, slow.subject.pid));
        else
            more_ns += slow.sources[i].duration_ns;
    }
    if (more_ns != 0 && more_ns >= slow.duration_ns / 100)
        clauses.push_back(fmt::format("{} in other places", format_duration(more_ns)));
    const bool told =
        std::ranges::any_of(slow.sources, [](const Source& source) { return argument(source, "reason") != nullptr; });
    if (!told && slow.breakdown.other_ns >= slow.duration_ns / 20 && slow.breakdown.other_ns != 0)
        clauses.push_back(format_duration(slow.breakdown.other_ns) + " unknown");
    const auto* colon = clauses.empty() ? "" : ": ";
    return fmt::format("{}{}{}{}.", opening(slow, held_format, blameless), colon, fmt::join(clauses, ", "),
                       impact_text(slow.impact));
}

}  // namespace

std::string verdict_of(const SlowCallback& slow)
{
    return verdict_of_dispatch(slow, slow.end_known ? "held {} for {}" : "held {} for up to {}");
}

std::string verdict_of(const Stall& stall)
{
    return verdict_of_dispatch(
        stall, stall.start_known ? "has been holding {} for {}" : "has been holding {} for at least {}");
}

std::string verdict_of(const BlockingCall& blocking)
{
    const auto& source = blocking.source;
    const bool nameless = source.kind == Kind::other && source.call.empty();
    return fmt::format("{} blocked {} for {}{}.", who(blocking.task), which(blocking.loop),
                       format_duration(source.duration_ns),
                       nameless ? ", where is not known" : " " + doing(source, blocking.subject.pid));
}

}  // namespace loopwatch
