// SPDX-License-Identifier: Apache-2.0
//
// How targets come: at the session's start, as children, by their name, and as what a target becomes by execve(2).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "attach/kernel_source.hpp"
#include "collect/unprobed_loops.hpp"
#include "target/descendants.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t answer_ns = 5'000'000;
constexpr std::uint64_t most_searching_ns = 10'000'000'000;

}  // namespace

// One of several processes that cannot be watched (a zombie of that name, another user's) is left out, with a warning:
// it is not to decide for the others. Fails if none is left.
Result<void> KernelSource::leave_out(pid_t pid, const Error& error)
{
    std::erase(options_.pids, pid);
    left_out_.insert(pid);
    if (options_.pids.empty() && !options_.wait) return error;
    engine_.warn(fmt::format("process {} is not watched: {}", pid, error.what));
    return {};
}

Result<void> KernelSource::attach()
{
    // What has started before the kernel side was there to report it.
    for (const pid_t pid : options_.name.empty() ? std::vector<pid_t>() : Process::find(options_.name))
        if (std::ranges::find(options_.pids, pid) == options_.pids.end() && !left_out_.contains(pid))
            options_.pids.push_back(pid);
    candidates_.scan(monotonic_ns());
    // All of them before the first is attached to, and could take what is for the others too.
    for (const pid_t pid : options_.pids) (void)kernel_->admit(pid, options_.attachment.thresholds);
    const auto now = monotonic_ns();
    for (const pid_t pid : options_.pids) images_.found(pid, now);
    for (const pid_t pid : options_.follow_children ? options_.pids : std::vector<pid_t>())
        for (const pid_t child : descendants(pid))
            if (!knows(child)) images_.found(child, now);
    if (auto found = await_loops(); !found) return found;
    kernel_->unprobed().await_tracepoints();
    if (!options_.from_start)
        for (auto* const target : attachments()) target->warn_of_blindness();
    if (kernel_->rung() == AttachRung::none)
        engine_.warn("probes are not attached (--attach=none): only what the scheduler shows is seen");
    if (kernel_->rung() == AttachRung::perf_pid)
        engine_.warn(
            "probes are attached one by one: about 0.2 us a site on each context switch of the target, slow to detach");
    return {};
}

// Those that wait by now and, of the rest, those that do within a moment: 10 s at most, then as far as it came.
Result<void> KernelSource::await_loops()
{
    bool polls_watched = false;
    std::uint64_t all_live_ns = 0;
    // One whose files cannot be opened does not hold up the others.
    const auto is_searching = [this] {
        const auto targets = attachments();
        return (targets.empty() ? !images_.empty() : images_.are_coming(monotonic_ns())) || !arriving_.empty() ||
               std::ranges::any_of(targets, &Attachment::is_searching);
    };
    for (;;) {
        const auto now = monotonic_ns();
        if (auto gone_on = go_on(now); !gone_on) return gone_on;
        // What there is no room for stays in the ring, which counts what it has no room for.
        if (early_.size() < max_early)
            kernel_->drain(max_early - early_.size(), [this](const Event& event) { take_early(event); });
        // Threads that are awake may poll without sleeping.
        const auto may_poll = [this](const Attachment* target) {
            return target->finder() && (options_.from_start || target->finder()->awake());
        };
        if (!polls_watched && std::ranges::any_of(attachments(), may_poll)) {
            polls_watched = true;
            if (kernel_->unprobed().watch_polls(true)) (void)kernel_->unprobed().await_polls();
        }
        if (images_.empty() && arriving_.empty() && all_live_ns == 0) all_live_ns = now;
        const bool takes_too_long = all_live_ns != 0 && now >= all_live_ns + most_searching_ns;
        if (!is_searching() || takes_too_long || options_.asked_to_end()) break;
        engine_.reactor().wait_until(next_ns() ? std::min(next_ns(), now + answer_ns) : now + answer_ns);
        worker_.poll();
    }
    worker_.lower_priority();
    return {};
}

// Before the session is live.
void KernelSource::take_early(const Event& event)
{
    const auto* const wait = std::get_if<WaitEvent>(&event);
    if (wait) {
        if (auto* const target = find(wait->head.pid)) return target->on(*wait);
        return images_.on(*wait);
    }
    if (!is_held(event) && early_.size() < max_early) early_.push_back(event);
}

// Fails as leave_out() does, before the session is live; then one that cannot be watched, or is gone, is no failure.
Result<void> KernelSource::refuse(pid_t pid, const Error& error)
{
    kernel_->dismiss(pid);
    const bool asked_for = std::ranges::find(options_.pids, pid) != options_.pids.end();
    if (!live_ && asked_for) return leave_out(pid, error);
    if (error.code == ExitCode::no_such_target)
        processes_missed_ += follows_name();
    else
        engine_.warn(fmt::format("process {} is not watched: {}", pid, error.what));
    return {};
}

Result<void> KernelSource::watch_process(NewImages::Ready image)
{
    if (!image.process) choices_.erase(image.pid);
    if (!image.process) return refuse(image.pid, image.process.error());
    auto attachment = options_.attachment;
    if (const auto chosen = choices_.extract(image.pid); !chosen.empty()) {
        attachment.thresholds = chosen.mapped().thresholds;
        attachment.wants(Frequent::coroutines) &= chosen.mapped().coroutines;
    }
    auto attached = Attachment::attach(
        std::move(*image.process), *kernel_, worker_, attachment,
        [this](std::uint32_t tid, std::uint64_t period_ns) { return sample(tid, period_ns); },
        options_.from_start || image.has_begun);
    if (!attached) return refuse(image.pid, attached.error());
    if (live_ || options_.from_start) (*attached)->read_code_ahead();
    for (const auto& wait : image.waits) (*attached)->on(wait);
    arriving_.push_back(std::move(*attached));
    return {};
}

// Detection of them is live now.
Result<void> KernelSource::add_attached()
{
    auto refused = Result<void>();
    for (auto& target : std::exchange(arriving_, {})) {
        target->go_on(monotonic_ns());
        if (const auto failure = target->failure()) {
            const auto pid = target->process().pid();
            target.reset();
            if (auto left = refuse(pid, *failure); !left) refused = left;
        } else if (target->is_live()) {
            engine_.add(std::move(target));
        } else {
            arriving_.push_back(std::move(target));
        }
    }
    return refused;
}

bool KernelSource::is_arriving(pid_t pid) const
{
    return std::ranges::any_of(arriving_, [&](const auto& target) { return target->process().pid() == pid; });
}

bool KernelSource::knows(pid_t pid) const
{
    return find(static_cast<std::uint32_t>(pid)) || images_.contains(pid) || is_arriving(pid);
}

// Of one that has executed a program of this name, as far as the kernel side compares it.
bool KernelSource::has_name(pid_t pid)
{
    if (Process::is_named(pid, options_.name)) return true;
    if (!read_proc(pid, "comm", 64)) ++processes_missed_;  // it is gone
    return false;
}

// Attaches to children that have lived for a while, and to what targets have become by execve(2).
void KernelSource::adopt(std::uint64_t now_ns)
{
    for (const auto& [pid, has_executed, due_ns] : children_.take_grown_up(now_ns)) {
        if (knows(pid)) continue;
        const bool named = has_executed ? has_name(pid) : Process::is_named(pid, options_.name);
        if (!options_.follow_children && !named) continue;
        images_.full() ? children_.born(pid, now_ns, has_executed) : images_.begun(pid, now_ns);
    }
}

// Processes that the selection has chosen, as many as can be loaded at a time. What dismisses the image before may
// still be at work, beside.
void KernelSource::admit_chosen(std::uint64_t now_ns)
{
    for (const auto& [pid, choice] : candidates_.take_chosen(now_ns)) {
        if (auto* const target = find(static_cast<std::uint32_t>(pid))) {
            if (choice) options_.selection->admitted(pid);  // what was read of it is new
            if (!choice) {
                engine_.remove(target->pid(), "deselected");
            } else if (choice->thresholds != target->thresholds()) {
                target->set_thresholds(choice->thresholds);
                (void)kernel_->admit(pid, choice->thresholds);
            }
        }
        if (!choice || knows(pid)) continue;
        if (images_.full() || retiring()) {
            candidates_.again(pid, now_ns);
            continue;
        }
        options_.selection->admitted(pid);
        choices_[pid] = *choice;
        (void)kernel_->admit(pid, choice->thresholds);
        images_.found(pid, now_ns);
    }
}

// Those of which nothing has to be waited for any more.
Result<void> KernelSource::add_ready(std::uint64_t now_ns)
{
    // Attached twice, its dispatches would count twice. And the last image's findings are judged by what is known of
    // that.
    const auto may_come = [this](pid_t pid) {
        return !retiring() && !engine_.is_ending(static_cast<std::uint32_t>(pid));
    };
    const ScanOptions scan = {options_.attachment.wants(Frequent::coroutines)};
    for (auto& image : images_.take_ready(now_ns, worker_, scan, may_come))
        if (auto watched = watch_process(std::move(image)); !watched) return watched;
    return add_attached();
}

// With what was begun.
Result<void> KernelSource::go_on(std::uint64_t now_ns)
{
    for (auto* const target : attachments()) {
        target->go_on(now_ns);
        if (target->take_found() && live_) engine_.wake(now_ns);
        for (auto& sample : target->take_hanging())
            if (live_)
                engine_.observe(sample);
            else if (early_.size() < max_early)
                early_.push_back(std::move(sample));
    }
    return add_ready(now_ns);
}

// What a process was before execve(2).
void KernelSource::dismiss_image(pid_t process)
{
    const auto pid = static_cast<std::uint32_t>(process);
    if (find(pid)) engine_.remove(pid, "exec");
    for (auto& target : arriving_)
        if (target->process().pid() == process) retire(target->leave(!selects()));
    std::erase_if(arriving_, [&](const auto& target) { return target->process().pid() == process; });
}

// It runs another program by now, which has yet to be chosen.
void KernelSource::select_again(pid_t pid)
{
    if (images_.contains(pid)) kernel_->dismiss(pid);
    images_.forget(pid);
    choices_.erase(pid);
    dismiss_image(pid);
    candidates_.born(pid, monotonic_ns());
}

// Its forks are seen while its new image loads its libraries, too.
void KernelSource::begin_image(std::uint32_t pid, std::uint64_t now_ns)
{
    const auto process = static_cast<pid_t>(pid);
    dismiss_image(process);
    images_.begun(process, now_ns);
    if (kernel_->admit(process, options_.attachment.thresholds)) (void)kernel_->unprobed().watch(process);
    worker_.raise_priority_until(now_ns + starting_ns);
}

}  // namespace loopwatch
