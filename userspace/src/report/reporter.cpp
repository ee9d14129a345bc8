// SPDX-License-Identifier: Apache-2.0
#include "report/reporter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

void Reporter::take(Report&& report)
{
    std::visit([this](auto& typed) { on(typed); }, report);
    const auto* const findings = std::get_if<Findings>(&report);
    if (findings && findings->blocking.empty() && !findings->stall && !findings->slow) return;  // all are allowed
    publish(report);
}

void Reporter::publish(const Report& report)
{
    count_warnings(report);
    hub_.take(report, monotonic_ns());
}

void Reporter::flush()
{
    hub_.flush(monotonic_ns());
    for (auto& text : hub_.take_warnings())
        take(Warning{std::nullopt, monotonic_ns(), std::move(text), "", WarningAbout::output});
}

void Reporter::close()
{
    hub_.close();
    for (const auto& text : hub_.take_warnings()) print_warning(text);  // no output takes them any more
}

template <class Finding>
bool Reporter::admit(const Finding& finding)
{
    auto view = view_of(finding);
    if (const auto image = images_.find(finding.subject.pid); view.incident && image != images_.end())
        view.incident->image = image->second;
    return gate_.admit(view);
}

template <class Finding>
void Reporter::count(const char* type, Finding& finding)
{
    ++counts_[type];
    finding.occurrence = occurrences_.add(finding.fingerprint);
}

void Reporter::on(Findings& findings)
{
    std::erase_if(findings.blocking, [&](const BlockingCall& call) { return !admit(call); });
    for (auto& call : findings.blocking) {
        count_coverage(call);
        count("blocking_call", call);
    }
    if (findings.stall && !admit(*findings.stall)) findings.stall.reset();
    if (auto& stall = findings.stall) {
        count("stall", *stall);
        unfinished_[{stall->subject.pid, stall->loop.id}] = *stall;
    }
    if (findings.slow) unfinished_.erase({findings.slow->subject.pid, findings.slow->loop.id});
    if (findings.slow && !admit(*findings.slow)) findings.slow.reset();
    if (findings.slow) {
        count("slow_callback", *findings.slow);
        causes_.add(*findings.slow);
    }
}

void Reporter::publish_causes()
{
    for (auto& cause : causes_.take(monotonic_ns())) publish(std::move(cause));
}

// What a process becomes by exec numbers its loops and dispatches anew.
void Reporter::on(const TargetEnd& end)
{
    const auto pid = end.subject.pid;
    std::erase_if(unfinished_, [&](const auto& unfinished) {
        if (unfinished.first.first != pid) return false;
        if (admit(static_cast<const SlowCallback&>(unfinished.second))) causes_.add(unfinished.second);
        return true;
    });
    for (auto& cause : causes_.take_of(pid, monotonic_ns())) publish(std::move(cause));
    if (end.reason == "exec")
        ++images_[pid];
    else
        images_.erase(pid);
}

void Reporter::judge_unfinished()
{
    for (const auto& [loop, stall] : unfinished_)
        if (admit(static_cast<const SlowCallback&>(stall))) causes_.add(stall);
}

// Those of a target are in session_start, too, as "pid N: …".
void Reporter::count_warnings(const Report& report)
{
    if (const auto* session = std::get_if<SessionStart>(&report))
        warnings_.of_sight += static_cast<std::uint64_t>(std::ranges::count_if(
            session->warnings, [](const std::string& text) { return !text.starts_with("pid "); }));
    if (const auto* target = std::get_if<TargetStart>(&report)) {
        warnings_.of_names += target->name_warnings;
        warnings_.of_sight += target->warnings.size() - target->name_warnings - target->cost_warnings;
    }
    if (const auto* warning = std::get_if<Warning>(&report)) {
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

void Reporter::on(const TaskEvent& event)
{
    if (event.limited) gate_.note(event.type, event.type);
    ++counts_[event.type];
}

void Reporter::on(const Warning& warning)
{
    if (hub_.for_people()) return;
    const auto& target = warning.target;
    const auto whose = target ? fmt::format("{} (pid {}): ", target->comm, target->pid) : "";
    print_warning(whose + warning.text + (warning.hint.empty() ? "" : " (hint: " + warning.hint + ")"));
}

}  // namespace loopwatch
