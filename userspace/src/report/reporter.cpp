// SPDX-License-Identifier: Apache-2.0
#include "report/reporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

void Reporter::publish(const Record& record)
{
    count_warnings(record);
    if (const auto* end = std::get_if<TargetEnd>(&record)) end_image(*end);
    if (failure_) return;
    if (auto written = sink_.write(record); !written) failure_ = written.error();
}

void Reporter::flush()
{
    if (failure_) return;
    if (auto written = sink_.flush(); !written) failure_ = written.error();
}

template <class Finding>
bool Reporter::admit(const Finding& finding)
{
    auto view = view_of(finding);
    if (const auto image = images_.find(finding.subject.pid); view.incident && image != images_.end())
        view.incident->image = image->second;
    return gate_.admit(view);
}

// A call before its dispatch: a reader that folds them knows the call when the dispatch comes.
void Reporter::publish(Findings findings)
{
    for (auto& call : findings.blocking) {
        if (!admit(call)) continue;
        count_coverage(call);
        call.occurrence = occurrences_.add(call.fingerprint);
        publish_finding("blocking_call", call.subject.pid, call.fingerprint, call);
    }
    if (auto& stall = findings.stall; stall && admit(*stall)) {
        stall->occurrence = occurrences_.add(stall->fingerprint);
        publish_finding("stall", stall->subject.pid, stall->fingerprint, *stall);
        unfinished_[{stall->subject.pid, stall->loop.id}] = *stall;
    }
    if (findings.slow) unfinished_.erase({findings.slow->subject.pid, findings.slow->loop.id});
    if (!findings.slow || !admit(*findings.slow)) return;
    auto& slow = *findings.slow;
    slow.occurrence = occurrences_.add(slow.fingerprint);
    publish_finding("slow_callback", slow.subject.pid, slow.fingerprint, slow);
}

// What a process becomes by exec numbers its loops and dispatches anew.
void Reporter::end_image(const TargetEnd& end)
{
    const auto pid = end.subject.pid;
    std::erase_if(unfinished_, [&](const auto& unfinished) {
        if (unfinished.first.first != pid) return false;
        (void)admit(static_cast<const SlowCallback&>(unfinished.second));
        return true;
    });
    if (end.reason == "exec")
        ++images_[pid];
    else
        images_.erase(pid);
}

void Reporter::judge_unfinished()
{
    for (const auto& [loop, stall] : unfinished_) (void)admit(static_cast<const SlowCallback&>(stall));
}

// Those of a target are in session_start, too, as "pid N: …".
void Reporter::count_warnings(const Record& record)
{
    if (const auto* session = std::get_if<SessionStart>(&record))
        warnings_.of_sight += static_cast<std::uint64_t>(std::ranges::count_if(
            session->warnings, [](const std::string& text) { return !text.starts_with("pid "); }));
    if (const auto* target = std::get_if<TargetStart>(&record)) {
        warnings_.of_names += target->name_warnings;
        warnings_.of_sight += target->warnings.size() - target->name_warnings - target->cost_warnings;
    }
    if (const auto* warning = std::get_if<Warning>(&record)) {
        warnings_.of_names += warning->about == WarningAbout::names;
        warnings_.of_sight += warning->about == WarningAbout::sight;
    }
}

void Reporter::count_coverage(const BlockingCall& call)
{
    const bool shim = std::ranges::find(call.seen_by, "preload") != call.seen_by.end();
    const bool scheduler = std::ranges::find(call.seen_by, "sched") != call.seen_by.end();
    const std::string who = shim && scheduler ? "both" : shim ? "preload_only" : "sched_only";
    ++coverage_["calls_" + who];
    coverage_["ns_" + who] += call.source.duration_ns;
}

void Reporter::publish(const TaskEvent& misuse)
{
    gate_.note(misuse.type, misuse.type);
    // What is done wrong all the time in one place does not hide another.
    std::string place = misuse.type;
    for (const auto& [name, at] : misuse.locations) place += fmt::format(" {}:{}", at.file, at.line);
    publish_finding(misuse.type, misuse.subject.pid, place, misuse);
}

void Reporter::warn(std::optional<Subject> target, std::string text, std::string hint, WarningAbout about)
{
    if (!sink_.for_people()) {
        const auto whose = target ? fmt::format("{} (pid {}): ", target->comm, target->pid) : "";
        print_warning(whose + text + (hint.empty() ? "" : " (hint: " + hint + ")"));
    }
    publish(Warning{std::move(target), monotonic_ns(), std::move(text), std::move(hint), about});
}

void Reporter::warn(WatchedProcess& target)
{
    for (auto& text : target.take_new_warnings()) {
        const auto about = target.about(text);
        warn(target.whole(), std::move(text), "", about);
    }
}

void Reporter::publish_step(const TaskEvent& step)
{
    ++counts_[step.type];
    publish(Record(step));
}

void Reporter::publish_finding(const std::string& type, std::uint32_t pid, const std::string& fingerprint,
                               const Record& record)
{
    ++counts_[type];
    // By our own clock: what a target says of its times is to concern its own findings only.
    if (limiter_.admit(type, pid, fingerprint, monotonic_ns())) publish(record);
}

}  // namespace loopwatch
