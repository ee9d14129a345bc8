// SPDX-License-Identifier: Apache-2.0
#include "report/hub.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "output/record_json.hpp"

namespace loopwatch {

namespace {

// What is left of a dispatch's findings within the limits; none: nothing.
std::optional<Findings> within_limits(const Findings& findings, FindingLimits* limits, std::uint64_t now_ns)
{
    const auto admit = [&](const char* type, const auto& finding, std::uint64_t duration_ns) {
        return !limits || limits->admit(type, finding.subject.pid, finding.fingerprint, duration_ns, now_ns);
    };
    Findings left;
    if (findings.slow && admit("slow_callback", *findings.slow, findings.slow->duration_ns)) left.slow = findings.slow;
    const bool all = left.slow && limits && limits->keeps_together();
    for (const auto& call : findings.blocking)
        if (all || admit("blocking_call", call, call.source.duration_ns)) left.blocking.push_back(call);
    if (findings.stall && admit("stall", *findings.stall, findings.stall->duration_ns)) left.stall = findings.stall;
    if (left.blocking.empty() && !left.stall && !left.slow) return std::nullopt;
    return left;
}

// What is done wrong all the time in one place does not hide another.
std::string place_of(const TaskEvent& event)
{
    std::string place = event.type;
    for (const auto& [name, at] : event.locations) place += fmt::format(" {}:{}", at.file, at.line);
    return place;
}

}  // namespace

void Hub::add(std::string name, std::unique_ptr<Sink> sink, SinkOptions options)
{
    entries_.push_back({std::move(name), std::move(sink), std::move(options)});
}

void Hub::take(const Report& report, std::uint64_t now_ns)
{
    for (auto& entry : entries_) {
        if (const auto* findings = std::get_if<Findings>(&report)) {
            if (const auto left = within_limits(*findings, entry.options.limits.get(), now_ns))
                deliver(entry, *left, now_ns);
        } else if (const auto* event = std::get_if<TaskEvent>(&report); event && event->limited) {
            auto* const limits = entry.options.limits.get();
            if (!limits || limits->admit(event->type, event->subject.pid, place_of(*event), 0, now_ns))
                deliver(entry, report, now_ns);
        } else if (const auto* stats = std::get_if<SessionStats>(&report)) {
            auto own = *stats;
            if (entry.options.limits) own.suppressed = entry.options.limits->suppressed();
            count_losses(entry, own.lost);
            deliver(entry, own, now_ns);
        } else if (const auto* end = std::get_if<SessionEnd>(&report)) {
            auto own = *end;
            if (entry.options.limits) own.suppressed = entry.options.limits->suppressed();
            count_losses(entry, own.lost);
            const auto complete = loopwatch::completeness(own.lost, own.suppressed, own.warnings, own.saw_loop);
            own.completeness = complete.level;
            own.completeness_reason = complete.reason;
            // An optional output that lacks something does not make the others incomplete.
            const auto required = std::ranges::find_if(entries_, [](const Entry& one) { return one.options.required; });
            if (&entry == (required == entries_.end() ? &entries_.front() : &*required)) completeness_ = complete;
            deliver(entry, own, now_ns);
        } else {
            deliver(entry, report, now_ns);
        }
    }
}

void Hub::deliver(Entry& entry, const Report& report, std::uint64_t now_ns)
{
    // The end has the counts of what is missing, and no later report will try.
    const bool last = std::holds_alternative<SessionEnd>(report) && !entry.ended;
    if (is_down(entry, now_ns) && !last)
        entry.lost += records_in(report);
    else if (auto taken = entry.sink->take(report); !taken)
        fail(entry, taken.error(), now_ns);
}

// What was taken may only be queued: a sink works again once it has been flushed.
void Hub::flush(std::uint64_t now_ns)
{
    for (auto& entry : entries_) {
        if (is_down(entry, now_ns)) continue;
        if (auto flushed = entry.sink->flush(); flushed)
            entry.retry_at_ns = 0;
        else
            fail(entry, flushed.error(), now_ns);
    }
}

void Hub::close()
{
    for (const auto& entry : entries_)
        if (!entry.ended) (void)entry.sink->flush();  // what fails fails again below
    for (auto& entry : entries_) {
        if (entry.ended) continue;
        auto closed = entry.sink->close(entry.options.required);
        if (closed) continue;
        if (entry.options.required)
            fail(entry, closed.error(), 0);
        else
            warnings_.push_back(fmt::format("{}: {}; its report lacks the end", entry.name, closed.error().what));
    }
}

// One whose time has come to be tried again counts as working.
bool Hub::is_down(const Entry& entry, std::uint64_t now_ns)
{
    return entry.ended || now_ns < entry.retry_at_ns;
}

void Hub::fail(Entry& entry, const Error& error, std::uint64_t now_ns)
{
    if (entry.options.required) {
        entry.ended = true;
        if (!failure_) failure_ = error;
        return;
    }
    if (entry.retry_at_ns == 0) warnings_.push_back(fmt::format("{}: {}; it is tried again", entry.name, error.what));
    entry.retry_at_ns = now_ns + retry_ns;
}

void Hub::count_losses(const Entry& entry, Counts& lost)
{
    lost["output_full"] += entry.sink->lost();
    lost["output_failed"] += entry.lost;
}

bool Hub::for_people() const
{
    return std::ranges::any_of(entries_, [](const Entry& entry) { return entry.sink->for_people(); });
}

std::vector<int> Hub::waits_for() const
{
    std::vector<int> descriptors;
    for (const auto& entry : entries_)
        if (const int fd = entry.sink->waits_for(); fd >= 0 && !entry.ended && entry.retry_at_ns == 0)
            descriptors.push_back(fd);
    return descriptors;
}

}  // namespace loopwatch
