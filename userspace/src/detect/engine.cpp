// SPDX-License-Identifier: Apache-2.0
#include "detect/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "collect/probe_table.hpp"
#include "detect/target_records.hpp"
#include "resolve/trace_events.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t drain_timeout_ns = 5'000'000'000;  // how long the end of a target waits for names
constexpr std::uint64_t stall_names_ns =
    100'000'000;  // how long the names of a stall, which is to be reported now, are preferred

}  // namespace

Engine::Engine(EngineOptions options, Reactor& reactor, SymbolWorker& worker, KernelSymbols& kernel_symbols,
               Publish publish)
    : options_(std::move(options)),
      reactor_(reactor),
      worker_(worker),
      kernel_symbols_(kernel_symbols),
      publish_(std::move(publish))
{
}
Engine::~Engine() = default;

void Engine::start(TargetSource& source, std::uint64_t now_ns)
{
    source_ = &source;
    watchdog_.emplace(source, book_);
    for (const auto& [pid, target] : targets_) {
        publish_(target_start(*target));
        (void)statistics_.look(*target, now_ns);
        watch_exit(*target);
    }
}

Target& Engine::add(std::unique_ptr<Target> added)
{
    const auto pid = added->pid();
    auto& target = *(targets_[pid] = std::move(added));
    if (!source_) return target;  // it is reported at the start
    watch_exit(target);
    publish_(target_start(target));
    report_statistics(target, monotonic_ns());
    watchdog_->added(target, monotonic_ns());
    return target;
}

// Without a watch (no descriptor is left) it is seen at the next interval.
void Engine::watch_exit(Target& target)
{
    auto exit = reactor_.watch(target.process().pidfd(), Reactor::Ready::readable,
                               [this, pid = target.pid()] { exited_.insert(pid); });
    if (exit) target.exit = std::move(*exit);
}

// Its last findings wait for names, and the others are watched meanwhile.
void Engine::remove(std::uint32_t pid, const char* reason)
{
    auto& target = *targets_.at(pid);
    source_->leave(target, reason, [this](const Event& event) { observe(event); });
    const auto now = monotonic_ns();
    for (auto& loop : target.known_loops()) {
        watchdog_->note_end(target, loop);
        loop.stall.sampling.reset();
    }
    for (const auto& of : watchdog_->take_over()) lost_ends_.over(of, now);
    explain_ended(book_.take_superseded(), now);
    explain_lost_ends(lost_ends_.take_of(pid));
    for (auto& bundle : book_.abandon_process(pid)) explain_bundle(std::move(bundle));
    report_statistics(target, now);
    if (!target.known_loops().empty()) target.check_names();
    saw_loop_ |= target.had_loops();
    target.exit = {};
    exited_.erase(pid);
    ending_.push_back({std::move(targets_.extract(pid).mapped()), reason, worker_.asked(), now + drain_timeout_ns});
    report_ended(now);
}

Target* Engine::find(std::uint32_t pid) const
{
    const auto found = targets_.find(pid);
    return found == targets_.end() ? nullptr : found->second.get();
}

// The image that has ended, of which findings wait for names.
Target* Engine::find_ending(std::uint32_t pid) const
{
    const auto found = std::ranges::find_if(ending_, [&](const Ending& ending) { return ending.target->pid() == pid; });
    return found == ending_.end() ? nullptr : found->target.get();
}

// What is known of the image that a finding is from, which may have ended.
Target* Engine::find_judge(std::uint32_t pid) const
{
    auto* const ended = find_ending(pid);
    return ended ? ended : find(pid);
}

void Engine::warn(std::string text, std::string hint)
{
    publish_(Warning{std::nullopt, monotonic_ns(), std::move(text), std::move(hint)});
}

void Engine::observe(const Event& event)
{
    std::visit([this](const auto& typed) { on(typed); }, event);
}

bool Engine::turn(std::uint64_t now_ns)
{
    source_->turn(now_ns);
    const bool more = drain();
    if (!more) explain_lost_ends(lost_ends_.take(now_ns));
    if (watchdog_->next_ns() && now_ns >= watchdog_->next_ns()) tick(now_ns);
    for (const auto pid : std::exchange(exited_, {})) {
        if (!find(pid)) continue;
        source_->drain_present([this](const Event& event) { observe(event); });
        explain_ended(book_.take_superseded(), now_ns);
        if (find(pid)) remove(pid, "exited");
    }
    report_proven();
    report_ended(now_ns);
    for (const auto& [pid, target] : targets_) report_warnings(*target);
    if (const auto& failure = worker_.start_failure(); failure && !std::exchange(warned_of_worker_, true))
        warn(fmt::format("stacks are addresses without names from here on: {}", failure->what), failure->hint);
    return more;
}

bool Engine::drain()
{
    const bool more = source_->drain(max_records, [this](const Event& event) { observe(event); });
    explain_ended(book_.take_superseded(), monotonic_ns());
    return more;
}

void Engine::on(const LoopStartedEvent& event)
{
    auto* const target = find(event.head.pid);
    if (!target) return;
    target->on(event);
    if (auto* const loop = target->find_loop(event.head.tid, event.head.loop_id)) {
        loop->stall = {};
        Statistics::started(*loop, event.head.time_ns);
    }
}

void Engine::on(const LoopStoppedEvent& event)
{
    const auto& head = event.head;
    auto* const target = find(head.pid);
    auto* const loop = target ? target->find_loop(head.tid, head.loop_id) : nullptr;
    if (!loop) return;
    if (event.state)
        if (auto stats = statistics_.look(*target, *loop, *event.state, head.time_ns)) publish_(std::move(*stats));
    target->remove_loop(head.tid, head.loop_id);
}

void Engine::on(const DispatchEvent& event)
{
    if (!wanted(event.head)) return;
    auto* const target = find(event.head.pid);
    // What may be several iterations has each of them in the histogram.
    if (event.waits.empty())
        statistics_.reported(target ? target->find_loop(event.head.tid, event.head.loop_id) : nullptr,
                             event.end_ns - event.start_ns);
    const auto now = monotonic_ns();
    // First those of which calls are known: their ends are not to be reported without these.
    explain_ended(book_.take_superseded(), now);
    explain_lost_ends(lost_ends_.take_before(event.head, now));
    auto bundle = book_.close(event);
    if (!lost_ends_.came(event.head)) bundle.closing->slow = false;  // it was reported
    explain_bundle(std::move(bundle));
}

void Engine::on(const IterationEvent& event)
{
    if (wanted(event.head)) explain_bundle(book_.close(event));
}

void Engine::on(const StepEvent& event)
{
    auto* const target = find(event.head.pid);
    if (!target || !wanted(event.head)) return;
    auto record = task_event(event, *target);
    if (!record) return;
    // Reported from the floor on; what a session wants to know of is its own affair.
    if (record->type == "slow_poll" && event.args[2] - event.args[1] < target->thresholds().slow_ns) return;
    if (find_probe(event.probe)->gate == ProbeGate::trace) return publish_(std::move(*record));
    const auto thrown = book_.take_thrown(event.head.tid);
    record->limited = true;
    complete(std::move(*record), event, thrown ? &*thrown : nullptr, worker_,
             [this](TaskEvent misuse) { publish_(std::move(misuse)); });
}

template <class Wait>
void Engine::on_wait(const Wait& event)
{
    if (auto* const target = find(event.head.pid)) target->on(event);
    wake(monotonic_ns());
}

void Engine::on(const ExitEvent& event)
{
    report_proven();
    unproven_.forget([&](const Subject& thread) { return thread.tid == event.head.tid; });
    for (auto& bundle : book_.abandon(event.head.tid)) explain_bundle(std::move(bundle));
    auto* const target = find(event.head.pid);
    if (!target) return;
    report_statistics(*target, event.head.time_ns);
    target->remove_loop(event.head.tid, event.head.loop_id);
}

void Engine::on(const EndedEvent& event)
{
    if (auto* const target = find(event.head.pid)) target->wait_status = event.status;
}

void Engine::tick(std::uint64_t now_ns)
{
    source_->tick(now_ns);
    watchdog_->tick(targets_, now_ns);
    for (const auto& of : watchdog_->take_over()) lost_ends_.over(of, now_ns);
    for (const auto& [pid, tid] : watchdog_->take_old_iterations())
        if (const auto* const target = find(pid))
            if (auto place = target->blocked_at(tid)) book_.found_blocked(tid, std::move(*place));
    for (const auto& overdue : watchdog_->take_overdue()) report_overdue(overdue);
}

void Engine::report_overdue(const OverdueDispatch& overdue)
{
    auto* const target = find(overdue.pid);
    EventHead of;
    of.pid = overdue.pid;
    of.tid = overdue.tid;
    of.loop_id = overdue.loop_id;
    of.seq = overdue.slot.seq;
    if (!target || !wanted(of)) return;
    // What is known of it if its process ends in it. Of a program without probes that is read from our own memory.
    if (overdue.slot_address)
        statistics_.reported(target->find_loop(of.tid, of.loop_id), overdue.now_ns - overdue.start_ns, false);
    auto bundle = target->stall(overdue, book_, [this](const Event& event) { observe(event); });
    if (!bundle) return;
    worker_.raise_priority_until(overdue.now_ns + stall_names_ns);
    if (target->loses_ends()) {
        auto closing = *bundle->closing;
        closing.head = of;
        lost_ends_.reported(closing, bundle->start_known);
    }
    explain_bundle(std::move(*bundle));
}

void Engine::explain_bundle(DispatchBundle bundle)
{
    if (auto* const target = find(bundle.pid)) explain_bundle(std::move(bundle), *target);
}

void Engine::explain_bundle(DispatchBundle bundle, Target& target)
{
    const auto whole = target.may_part(bundle) ? std::make_shared<const DispatchBundle>(bundle) : nullptr;
    investigate(
        std::move(bundle), target, worker_, kernel_symbols_, investigations_,
        [this, whole, scheduler_seen = target.scheduler_seen(), thresholds = target.thresholds()](DispatchFacts facts) {
            facts.scheduler_seen = scheduler_seen;
            facts.thresholds = thresholds;
            auto* const judge = find_judge(facts.subject.pid);
            if (whole && judge)
                if (auto parts = judge->parts_of(*whole)) {
                    for (auto& part : *parts) explain_bundle(std::move(part), *judge);
                    return;
                }
            const bool held = facts.iteration && !proven(facts.subject);
            held ? unproven_.hold(std::move(facts)) : report_iterations(std::move(facts));
        });
}

// Later records of their threads have come, or none will: what closes them has been lost.
void Engine::explain_ended(std::vector<DispatchBundle> bundles, std::uint64_t now_ns)
{
    for (auto& bundle : bundles) {
        lost_ends_.close(bundle, now_ns);
        explain_bundle(std::move(bundle));
    }
}

void Engine::explain_lost_ends(const std::vector<LostEnds::End>& ends)
{
    for (const auto& end : ends) {
        auto bundle = book_.close(end.closing);
        bundle.start_known = end.start_known;
        bundle.end_known = false;
        bundle.calls_missing = true;
        explain_bundle(std::move(bundle));
    }
}

void Engine::report_iterations(DispatchFacts facts)
{
    auto* const judge = find_judge(facts.subject.pid);
    if (!judge) return publish_(explain(facts));  // its names took longer than its end could wait
    auto iterations = judge->iterations_of(std::move(facts));
    unclear_iterations_ += iterations.unclear;
    for (auto& one : iterations.real) publish_(explain(one));
}

void Engine::report_proven()
{
    for (auto& facts : unproven_.take_proven([this](const Subject& thread) { return proven(thread); }))
        report_iterations(std::move(facts));
}

// A program that says which loops it runs has proven it.
bool Engine::proven(const Subject& thread) const
{
    const auto* const target = find_judge(thread.pid);
    return target && target->proven(thread.tid);
}

void Engine::give_up_unproven(const Target& target)
{
    const auto lost = unproven_.forget([&](const Subject& thread) { return thread.pid == target.pid(); });
    if (lost == 0) return;
    publish_(
        Warning{target.whole(), monotonic_ns(),
                fmt::format("{} slow iteration{} not reported: a poll or select makes a thread an event loop when it "
                            "has returned to the same one {} times, and this one's had not",
                            lost, lost == 1 ? " is" : "s are", Target::least_polls),
                ""});
}

void Engine::interval(std::uint64_t now_ns)
{
    source_->interval(now_ns);
    for (const auto& [pid, target] : targets_) {
        if (auto refreshed = target->refresh(); !refreshed && target->process().alive())
            publish_(Warning{target->whole(), now_ns, refreshed.error().what, refreshed.error().hint});
        if (!target->known_loops().empty()) target->check_names();
        report_statistics(*target, now_ns);
        if (!target->process().alive()) exited_.insert(pid);
        for (const auto& [tid, id] : target->take_ended()) target->remove_loop(tid, id);
    }
}

void Engine::step(std::uint64_t now_ns)
{
    for (const auto& [pid, target] : targets_) Statistics::step(*target, now_ns);
}

void Engine::report_statistics(Target& target, std::uint64_t now_ns)
{
    for (auto& stats : statistics_.look(target, now_ns)) publish_(std::move(stats));
}

void Engine::report_warnings(Target& target)
{
    for (auto& text : target.take_new_warnings()) {
        const auto about = target.about(text);
        publish_(Warning{target.whole(), monotonic_ns(), std::move(text), "", about});
    }
}

// Those whose findings have been reported, or are given no more time.
void Engine::report_ended(std::uint64_t now_ns)
{
    std::erase_if(ending_, [&](const Ending& ending) {
        if (!worker_.answered(ending.asked) && now_ns < ending.until_ns) return false;
        report_proven();
        give_up_unproven(*ending.target);
        report_warnings(*ending.target);
        const auto& target = *ending.target;
        const auto status = options_.wait_status(target.pid());
        publish_(TargetEnd{target.whole(), now_ns, ending.reason, status ? status : target.wait_status});
        return true;
    });
}

// At the end of the session. A finding without names is one all the same.
void Engine::await_ended()
{
    const auto wait = [this] {
        reactor_.wait_until(monotonic_ns() + 50'000'000);
        worker_.poll();
    };
    const auto until_ns = monotonic_ns() + drain_timeout_ns;
    for (auto now = monotonic_ns(); !ending_.empty() && now < until_ns; now = monotonic_ns()) {
        wait();
        report_ended(now);
    }
    if (worker_.pending()) worker_.give_up();
    while (worker_.pending()) wait();
    report_ended(monotonic_ns() + drain_timeout_ns);
}

void Engine::finish()
{
    source_->leave_all([this](const Event& event) { observe(event); });
    explain_ended(book_.take_superseded(), monotonic_ns());
    worker_.raise_priority_until(UINT64_MAX);
    while (!targets_.empty()) {
        const auto& [pid, target] = *targets_.begin();
        remove(pid, target->process().alive() ? "detached" : "exited");
    }
    await_ended();
    source_->finish();
    await_ended();
    unproven_.forget([](const Subject&) { return true; });  // answers that came after their target's end
}

void Engine::abandon()
{
    targets_.clear();
    ending_.clear();
}

Counts Engine::losses() const
{
    Counts lost = source_->losses();
    lost["symbol_worker"] = worker_.failures() + investigations_.unnamed;
    lost["dispatch_book"] = book_.overflow();
    lost["iteration_unclear"] = unclear_iterations_;
    lost["iteration_unproven"] += unproven_.lost();
    lost["sampling_failed"] = watchdog_->failures();
    return lost;
}

}  // namespace loopwatch
