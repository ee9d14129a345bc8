// SPDX-License-Identifier: Apache-2.0
#include "command/session.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <string_view>

#include "analysis/explain.hpp"
#include "attach/stall.hpp"
#include "collect/probe_table.hpp"
#include "collect/unprobed_loops.hpp"
#include "detect/iteration.hpp"
#include "resolve/investigation.hpp"
#include "resolve/trace_events.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t calibration_ns = 200'000'000;
constexpr std::uint64_t farewell_ns = 5'000'000'000;  // how long the summary waits for names
constexpr std::uint64_t starting_ns = 2'000'000'000;  // of a program: until it is in its loop, most likely
constexpr std::uint64_t trace_poll_ns = 20'000'000;   // trace records do not wake us

// What costs too much, and what is said of it.
struct StepDown {
    Frequent kind;
    const char* name;
    const char* then;
};
constexpr StepDown step_downs[] = {
    {Frequent::trace, "--trace", "the trace probes are detached, the rest goes on"},
    {Frequent::coroutines, "--coroutines", "from here on iterations are timed, not resumes"},
    {Frequent::throws, "--debug", "exception throw sites are no longer recorded"},
};

}  // namespace

Session::Session(SessionOptions options, Hub& hub)
    : options_(std::move(options)),
      attachment_options_{{options_.trace, options_.coroutines, options_.debug}, options_.debug},
      reporter_(hub, gate_)
{
}
Session::~Session() = default;

// One that cannot be watched, or is gone, is no failure.
void Session::watch_process(pid_t pid, std::uint64_t now_ns)
{
    auto attachment = Attachment::attach(pid, *kernel_, *worker_, attachment_options_);
    if (!attachment) {
        kernel_->dismiss(pid);
        if (attachment.error().code == ExitCode::no_such_target)
            processes_missed_ += follows_name();
        else
            warn(fmt::format("process {} is not watched: {}", pid, attachment.error().what));
        return;
    }
    const auto& target = targets_[static_cast<std::uint32_t>(pid)] = std::move(*attachment);
    if (started_ns_ == 0) return;
    reporter_.publish(target_start(*target));
    for (auto& stats : statistics_.look(*target, now_ns)) reporter_.publish(stats);
    watchdog_->wake(now_ns);
}

// Attaches to children that have lived for a while, and to what targets have become by execve(2).
void Session::adopt(std::uint64_t now_ns)
{
    for (const pid_t child : children_.take_grown_up(now_ns)) {
        const bool known = find(static_cast<std::uint32_t>(child)) || images_.contains(child);
        if (!known && (options_.follow_children || Process::is_named(child, options_.name)))
            watch_process(child, now_ns);
    }
    for (const auto& [pid, waits] : images_.take_loaded(now_ns)) {
        // Attached twice, its dispatches would count twice. And the last image's findings are judged by what is known
        // of that.
        if (retiring() || find_ended(static_cast<std::uint32_t>(pid))) {
            images_.begun(pid, now_ns);
            for (const auto& wait : waits) images_.on(wait);
            continue;
        }
        watch_process(pid, now_ns);
        auto* const target = find(static_cast<std::uint32_t>(pid));
        if (!target) continue;
        target->read_code_ahead();
        for (const auto& wait : waits) target->on_wait(wait);
    }
}

// Its forks are seen while its new image loads its libraries, too.
void Session::begin_image(std::uint32_t pid, std::uint64_t now_ns)
{
    if (find(pid)) end_target(pid, "exec");
    const auto process = static_cast<pid_t>(pid);
    images_.begun(process, now_ns);
    if (kernel_->admit(process)) (void)kernel_->unprobed().watch(process);
    hurry_worker(now_ns);
}

// A program that starts may be in its first callback before the stack of its first wait is unwound. With the niceness
// that the worker has else, that took 320 ms beside a program that burns and two compilers.
void Session::hurry_worker(std::uint64_t now_ns)
{
    worker_->hurry();
    hurried_until_ns_ = now_ns + starting_ns;
}

// The kernel waits for grace periods when probes are detached (40 to 55 ms): others are watched meanwhile.
void Session::retire(std::vector<Link> links)
{
    if (links.empty()) return;
    retiring_ = std::async(std::launch::async, [links = std::move(links), before = std::move(retiring_)]() mutable {
        detach(std::move(links));
        before = {};  // joined: else each would keep the thread before it
    });
}

bool Session::retiring() const
{
    return retiring_.valid() && retiring_.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
}

void Session::publish_start()
{
    std::vector<WatchedProcess*> all;
    for (const auto& [pid, target] : targets_) {
        if (!target->known_loops().empty()) target->check_names();
        all.push_back(target.get());
    }
    reporter_.publish(session_start(options_, warnings_, all));
    for (const auto& [pid, target] : targets_) reporter_.publish(target_start(*target));
}

Result<ExitCode> Session::run()
{
    started_ns_ = monotonic_ns();
    next_interval_ns_ = started_ns_ + options_.interval_ns;
    const auto cost = kernel_->cost();
    for (std::size_t kind = 0; kind < frequent_kinds; ++kind)
        limits_[kind] = {options_.max_overhead_percent, started_ns_, cost.traps_ns[kind]};
    publish_start();
    watched_ = options_.name;
    if (!targets_.empty()) watched_ = targets_.begin()->second->comm();
    for (auto& [pid, target] : targets_) statistics_.look(*target, started_ns_);
    reporter_.flush();
    kernel_->start_calibration();
    calibrating_ = true;
    if (options_.from_start) hurry_worker(started_ns_);
    for (const auto& event : std::exchange(early_, {})) on_event(event);
    when_live_();

    while (!ended_by_ && !reporter_.failure() && (follows_name() || !(targets_.empty() && images_.empty()))) {
        wait();
        backlog_ = drain();
        const auto now = monotonic_ns();
        if (watchdog_->next_ns() && now >= watchdog_->next_ns()) tick(now);
        if (now >= next_interval_ns_) interval(now);
        report_proven();
        report_ended(now);
        for (auto& [pid, target] : targets_) reporter_.warn(*target);
        for (const auto due_ns : {children_.next_ns(), images_.next_ns()})
            if (due_ns && now >= due_ns) adopt(now);
        if (calibrating_ && now - started_ns_ >= calibration_ns) {
            kernel_->finish_calibration();
            calibrating_ = false;
        }
        reporter_.flush();
        if (options_.duration_ns && now - started_ns_ >= options_.duration_ns) break;
    }
    if (!ended_by_ && !follows_name() && targets_.empty() && images_.empty()) end_reason_ = "target_end";
    if (reporter_.failure()) end_reason_ = "output_failed";
    finish();
    reporter_.close();
    if (reporter_.failure()) return *reporter_.failure();
    const bool blind = !saw_loop_ && !gate_.failed() && !options_.gate.fail_on.empty();
    if (blind) gate_.fail("no_loop_watched", nothing_watched(watched_).what);
    if (auto closed = close_gate(options_.gate, gate_, watched_, reporter_.completeness()); !closed)
        return closed.error();
    if (blind) return nothing_watched(watched_);
    return gate_.failed() ? ExitCode::fail_on_matched : ExitCode::done;
}

void Session::wait()
{
    std::vector<pollfd> waits = {{kernel_->ring_descriptor(), POLLIN, 0},
                                 {worker_->descriptor(), POLLIN, 0},
                                 {signals_.descriptor(), POLLIN, 0}};
    for (const auto& [pid, target] : targets_) waits.push_back({target->process().pidfd(), POLLIN, 0});
    const auto of_targets = waits.size();
    for (const int fd : reporter_.waits_for()) waits.push_back({fd, POLLOUT, 0});
    const auto now = monotonic_ns();
    std::uint64_t until = next_interval_ns_;
    if (watchdog_->next_ns()) until = std::min(until, watchdog_->next_ns());
    for (const auto due_ns : {children_.next_ns(), images_.next_ns()})
        if (due_ns) until = std::min(until, due_ns);
    if (calibrating_) until = std::min(until, started_ns_ + calibration_ns);
    if (options_.duration_ns) until = std::min(until, started_ns_ + options_.duration_ns);
    if (attachment_options_.wants(Frequent::trace)) until = std::min(until, now + trace_poll_ns);
    const bool reading = kernel_symbols_.read_some();
    const std::uint64_t left = until > now && !backlog_ && !reading ? until - now : 0;
    const timespec timeout{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
    ::ppoll(waits.data(), waits.size(), &timeout, nullptr);

    if (waits[1].revents) worker_->poll();
    for (const auto& [pid, target] : targets_) {
        target->read_new_code();
        if (!target->take_found()) continue;
        statistics_.found(*target);
        watchdog_->wake(monotonic_ns());
    }
    if (waits[2].revents) {
        const auto signal = signals_.take();
        if (signal && !signal->ends) options_.hand_on(signal->number);
        if (signal && signal->ends) end_reason_ = (ended_by_ = signal)->reason;
    }
    for (std::size_t i = 3; i < of_targets; ++i) {
        if (!waits[i].revents) continue;
        drain_present();
        const auto ended = std::find_if(targets_.begin(), targets_.end(), [&](const auto& entry) {
            return entry.second->process().pidfd() == waits[i].fd;
        });
        if (ended != targets_.end()) end_target(ended->first, "exited");
    }
}

bool Session::drain()
{
    const bool more = kernel_->drain(max_records, [this](const Event& event) { on_event(event); });
    for (auto& bundle : book_.take_superseded()) explain_bundle(std::move(bundle));
    return more;
}

void Session::on_event(const Event& event)
{
    std::visit([this](const auto& typed) { on(typed); }, event);
}

void Session::on(const LoopStartedEvent& event)
{
    watchdog_->forget(event.head.tid);
    if (auto* target = find(event.head.pid)) {
        target->add_loop(event);
        note_loops(*target);
        if (target->find_loop(event.head.tid, event.head.loop_id))
            statistics_.born(event.head.tid, event.head.loop_id, event.head.time_ns);
    }
}

void Session::on(const LoopStoppedEvent& event)
{
    const auto& head = event.head;
    watchdog_->forget(head.tid);
    auto* target = find(head.pid);
    const auto* loop = target ? target->find_loop(head.tid, head.loop_id) : nullptr;
    if (!loop) return;
    if (event.state)
        if (auto stats = statistics_.look(*target, *loop, *event.state, head.time_ns)) reporter_.publish(*stats);
    end_loop(*target, head.tid, head.loop_id);
}

void Session::end_loop(Attachment& target, std::uint32_t tid, std::uint64_t loop_id)
{
    note_loops(target);
    statistics_.forget(tid, loop_id);
    target.remove_loop(tid, loop_id);
}

void Session::on(const DispatchEvent& event)
{
    if (!wanted(event.head.tid)) return;
    // What may be several iterations has each of them in the histogram.
    if (event.waits.empty()) statistics_.reported(event.head.tid, event.head.loop_id, event.end_ns - event.start_ns);
    explain_bundle(book_.close(event));
}

void Session::on(const IterationEvent& event)
{
    if (wanted(event.head.tid)) explain_bundle(book_.close(event));
}

void Session::on(const SourceEvent& event)
{
    if (wanted(event.head.tid)) book_.add(event);
}

void Session::on(const SampleEvent& event)
{
    if (wanted(event.head.tid)) book_.add(event);
}

void Session::on(const CallEvent& event)
{
    if (wanted(event.head.tid)) book_.add(event);
}

void Session::on(const StepEvent& event)
{
    auto* target = find(event.head.pid);
    if (!target || !wanted(event.head.tid)) return;
    const auto record = task_event(event, *target);
    if (!record) return;
    // Told from the floor on; what a session wants to know of is its own affair.
    if (record->type == "slow_poll" && event.args[2] - event.args[1] < options_.threshold_ns) return;
    if (find_probe(event.probe)->gate == ProbeGate::trace) return reporter_.publish_step(*record);
    const auto thrown = book_.take_thrown(event.head.tid);
    complete(*record, event, thrown ? &*thrown : nullptr, *worker_,
             [this](const TaskEvent& misuse) { reporter_.publish(misuse); });
}

void Session::on(const ThrownEvent& event)
{
    book_.add(event);
}

void Session::on(const WakerEvent& event)
{
    if (wanted(event.head.tid)) book_.add(event);
}

void Session::on(const WaitEvent& event)
{
    auto* const target = find(event.head.pid);
    target ? target->on_wait(event) : images_.on(event);
    watchdog_->wake(monotonic_ns());
}

void Session::on(const WakeEvent&)
{
    watchdog_->wake(monotonic_ns());
}

void Session::on(const ExitEvent& event)
{
    report_proven();
    unproven_.forget([&](const Subject& thread) { return thread.tid == event.head.tid; });
    for (auto& bundle : book_.abandon(event.head.tid)) explain_bundle(std::move(bundle));
    if (auto* target = find(event.head.pid)) {
        for (auto& stats : statistics_.look(*target, event.head.time_ns)) reporter_.publish(stats);
        end_loop(*target, event.head.tid, event.head.loop_id);
    }
    watchdog_->forget(event.head.tid);
}

void Session::on(const ExecEvent& event)
{
    const auto pid = static_cast<pid_t>(event.head.pid);
    const bool known = find(event.head.pid) || images_.contains(pid);
    if (!known && !(follows_name() && Process::is_named(pid, options_.name))) return;
    // A shell starts hundreds of its name a second, most of which are gone at once.
    if (!known && images_.full()) return children_.born(pid, event.head.time_ns);
    begin_image(event.head.pid, monotonic_ns());
}

void Session::on(const ChildEvent& event)
{
    if (!options_.follow_children && !follows_name()) {
        if (!std::exchange(has_children_, true))
            reporter_.warn(std::nullopt, "it started other programs, which are not watched", "--follow-children");
        return;
    }
    children_.born(static_cast<pid_t>(event.head.pid), event.head.time_ns);
}

void Session::explain_bundle(DispatchBundle bundle)
{
    auto* target = find(bundle.pid);
    if (!target) return;
    investigate(std::move(bundle), *target, *worker_, kernel_symbols_, investigations_, [this](DispatchFacts facts) {
        const bool held = facts.iteration && !proven(facts.subject);
        held ? unproven_.hold(std::move(facts)) : report_iterations(std::move(facts));
    });
}

// A program that says which loops it runs has proven it.
bool Session::proven(const Subject& thread)
{
    const auto* target = find_judge(thread.pid);
    return target && (!target->finder() || target->finder()->proven(thread.tid));
}

void Session::report_iterations(DispatchFacts facts)
{
    for (auto& one : iterations_of(std::move(facts)))
        reporter_.publish(explain(one, {options_.threshold_ns, options_.block_threshold_ns}));
}

void Session::report_proven()
{
    for (auto& facts : unproven_.take_proven([this](const Subject& thread) { return proven(thread); }))
        report_iterations(std::move(facts));
}

// None: what was timed was not one. A dispatch that is seen as such is what it is.
std::vector<DispatchFacts> Session::iterations_of(DispatchFacts facts)
{
    const auto* target = find_judge(facts.subject.pid);
    const auto* finder = target && facts.iteration ? target->finder() : nullptr;
    if (!finder) return {std::move(facts)};
    mark_loop(facts, finder->sites());
    auto iterations = part_iteration(std::move(facts), finder->sites(), options_.threshold_ns);
    std::erase_if(iterations, [&](DispatchFacts& one) {
        const auto iteration = judge_iteration(one, finder->sites(), options_.threshold_ns);
        if (iteration == Iteration::unclear) ++unclear_iterations_;
        return iteration != Iteration::real;
    });
    return iterations;
}

void Session::watch_polls(std::uint64_t now_ns)
{
    if (!images_.empty()) return;  // to be attached to again, takes as long as to detach: 0.4 s on a busy machine
    const bool wanted = poll_watch_->wanted(targets_, kernel_->unprobed(), now_ns);
    if (auto watched = kernel_->unprobed().watch_polls(wanted); watched || polls_unwatched_) return;
    polls_unwatched_ = true;
    warn("non-blocking polls cannot be observed here: several iterations of a busy loop may be reported as one");
}

void Session::tick(std::uint64_t now_ns)
{
    watch_polls(now_ns);
    watchdog_->tick(targets_, now_ns);
    for (const auto tid : watchdog_->take_old_iterations()) {
        auto ongoing = kernel_->ongoing(tid);
        if (ongoing && ongoing->off == OffCpu::blocked && ongoing->place < ongoing->places.size()) {
            auto& place = ongoing->places[ongoing->place];
            place.block_start_ns = ongoing->off_ns;
            book_.found_blocked(tid, std::move(place));
        }
    }
    for (const auto& overdue : watchdog_->take_overdue()) {
        auto* target = find(overdue.pid);
        if (!target || !wanted(overdue.tid)) continue;
        // What is known of it if its process ends in it. Of a program without probes that is read from our own memory.
        if (overdue.slot_address)
            statistics_.reported(overdue.tid, overdue.slot.loop_id, overdue.now_ns - overdue.start_ns, false);
        if (!overdue.slot_address && kernel_->unprobed().undecided(overdue.tid)) continue;
        explain_bundle(stall_bundle(overdue, ongoing_of(overdue, *target), book_));
    }
}

// What the scheduler's view has of it; if nothing, what is seen from outside. nullopt: it has gone on meanwhile.
std::optional<OngoingDispatch> Session::ongoing_of(const OverdueDispatch& overdue, Attachment& target)
{
    auto ongoing = kernel_->ongoing(overdue.tid);
    if (!ongoing || ongoing->seq == overdue.slot.seq) return ongoing;
    if (auto asleep = found_asleep(overdue, ongoing->entered_ns, target, kernel_->unprobed())) {
        if (ongoing->seen_ns == 0) book_.found_asleep(asleep->places.front());
        return asleep;
    }
    // It runs. It may have woken since the view was read, and slept since before the session.
    ongoing = kernel_->ongoing(overdue.tid);
    const auto* loop = target.find_loop(overdue.tid, overdue.slot.loop_id);
    if (!loop || target.seq(*loop) != overdue.slot.seq) return std::nullopt;
    return ongoing;
}

void Session::interval(std::uint64_t now_ns)
{
    next_interval_ns_ = now_ns + options_.interval_ns;
    // Those whose records were lost.
    for (auto at = targets_.begin(); at != targets_.end();)
        if (const auto current = at++; current->second->process().replaced()) begin_image(current->first, now_ns);
    watch_polls(now_ns);
    if (hurried_until_ns_ && now_ns >= hurried_until_ns_) {
        worker_->stand_back();
        hurried_until_ns_ = 0;
    }
    for (auto& [pid, target] : targets_) {
        if (auto refreshed = target->refresh(); !refreshed && target->process().alive())
            reporter_.warn(target->whole(), refreshed.error().what, refreshed.error().hint);
        if (!target->known_loops().empty()) target->check_names();
        for (auto& stats : statistics_.look(*target, now_ns)) reporter_.publish(stats);
        for (const auto& [tid, id] : target->take_ended()) {
            end_loop(*target, tid, id);
            watchdog_->forget(tid);
        }
    }
    limit(now_ns);
    reporter_.publish(SessionStats{now_ns, losses(), {}, overhead()});
}

// Those that cost the targets too much go; the rest goes on.
void Session::limit(std::uint64_t now_ns)
{
    auto cost = kernel_->cost();
    for (const auto& [kind, name, then] : step_downs) {
        const auto percent = limits_[static_cast<std::size_t>(kind)].exceeded(cost.traps_of(kind), now_ns);
        if (!percent || !attachment_options_.wants(kind)) continue;
        for (auto& [pid, target] : targets_) target->detach(kind);
        drain_all();
        attachment_options_.wants(kind) = false;
        warn(fmt::format("{} cost {:.1f} % of a CPU, more than --max-overhead {}: {}", name, *percent,
                         options_.max_overhead_percent, then));
    }
}

// What waits when this is called. A target may write as fast as we read: of what comes meanwhile there is no end.
void Session::drain_present()
{
    const auto until_bytes = kernel_->drained_bytes() + kernel_->ring_bytes();
    while (drain() && kernel_->drained_bytes() < until_bytes) {
    }
}

// Once nothing more comes of what has been detached.
void Session::drain_all()
{
    drain_present();
    kernel_->drain_batches([this](const Event& event) { on_event(event); });
}

void Session::wait_for_worker(int timeout_ms)
{
    pollfd wait{worker_->descriptor(), POLLIN, 0};
    ::poll(&wait, 1, timeout_ms);
    worker_->poll();
}

void Session::give_up_unproven(const Attachment& target)
{
    const auto lost = unproven_.forget([&](const Subject& thread) { return thread.pid == target.pid(); });
    if (lost == 0) return;
    reporter_.warn(
        target.whole(),
        fmt::format("{} slow iteration{} not reported: a poll or select makes a thread an event loop when it "
                    "has returned to the same one {} times, and this one's had not",
                    lost, lost == 1 ? " is" : "s are", LoopFinder::least_polls));
}

// Its last findings wait for names, and the others are watched meanwhile.
void Session::end_target(std::uint32_t pid, const char* reason)
{
    for (auto& bundle : book_.abandon_process(pid)) explain_bundle(std::move(bundle));
    auto ended = targets_.extract(pid);
    auto& target = *ended.mapped();
    for (const auto& loop : target.known_loops()) watchdog_->forget(loop.tid);
    note_loops(target);
    // Others of its name run loops: this one may have been held up before it could be known.
    processes_missed_ += follows_name() && !target.had_loops();
    statistics_.forget(target);
    retire(target.leave(std::string_view(reason) == "exec"));
    ending_.push_back({std::move(ended.mapped()), reason, worker_->asked(), monotonic_ns() + farewell_ns});
    report_ended(monotonic_ns());
}

// Those whose findings have been reported, or are given no more time.
void Session::report_ended(std::uint64_t now_ns)
{
    std::erase_if(ending_, [&](const Ending& ending) {
        if (!worker_->answered(ending.asked) && now_ns < ending.until_ns) return false;
        report_proven();
        give_up_unproven(*ending.target);
        reporter_.warn(*ending.target);
        reporter_.publish(
            TargetEnd{ending.target->whole(), now_ns, ending.reason, options_.wait_status(ending.target->pid())});
        return true;
    });
}

// At the end of the session. A finding without names is one all the same.
void Session::await_ended()
{
    const auto until_ns = monotonic_ns() + farewell_ns;
    for (auto now = monotonic_ns(); !ending_.empty() && now < until_ns; now = monotonic_ns()) {
        wait_for_worker(50);
        report_ended(now);
    }
    if (worker_->pending()) worker_->give_up();
    while (worker_->pending()) wait_for_worker(50);
    report_ended(monotonic_ns() + farewell_ns);
}

void Session::finish()
{
    const auto now = monotonic_ns();
    // First of all: the target is not to wait for what we have still to say, and steps under --trace can come faster
    // than they are written.
    for (auto& [pid, target] : targets_) detach(target->leave());
    worker_->hurry();
    drain_all();
    for (auto& [pid, target] : targets_)
        for (auto& stats : statistics_.look(*target, now)) reporter_.publish(stats);
    while (!targets_.empty()) end_target(targets_.begin()->first, "detached");
    await_ended();
    unproven_.forget([](const Subject&) { return true; });  // answers that came after their target's end
    if (calibrating_) kernel_->finish_calibration();
    reporter_.judge_unfinished();
    auto end = session_end(reporter_, statistics_, losses(), started_ns_, saw_loop_);
    end.overhead = overhead();
    end.reason = end_reason_;
    reporter_.publish(end);
}

void Session::warn(std::string text)
{
    if (started_ns_ != 0) return reporter_.warn(std::nullopt, std::move(text));
    print_warning(text);
    warnings_.push_back(std::move(text));
}

Attachment* Session::find(std::uint32_t pid)
{
    const auto found = targets_.find(pid);
    return found == targets_.end() ? nullptr : found->second.get();
}

// The image that has ended, of which findings wait for names.
Attachment* Session::find_ended(std::uint32_t pid)
{
    const auto found = std::ranges::find_if(ending_, [&](const Ending& ending) { return ending.target->pid() == pid; });
    return found == ending_.end() ? nullptr : found->target.get();
}

// What is known of the image that a finding is from, which may have ended.
Attachment* Session::find_judge(std::uint32_t pid)
{
    auto* const ended = find_ended(pid);
    return ended ? ended : find(pid);
}

Counts Session::losses() const
{
    Counts lost = kernel_->losses();
    lost["symbol_worker"] = worker_->failures() + investigations_.unnamed;
    lost["dispatch_book"] = book_.overflow();
    lost["fingerprints_forgotten"] = reporter_.fingerprints_forgotten();
    if (options_.follow_children) lost["children_missed"] = children_.missed();
    if (follows_name()) lost["processes_missed"] = processes_missed_;
    lost["iteration_unclear"] = unclear_iterations_;
    lost["iteration_unproven"] = unproven_.lost();
    lost["statistics"] = statistics_.overflow();
    lost["sampling_failed"] = watchdog_->failures();
    return lost;
}

Overhead Session::overhead() const
{
    return own_overhead(kernel_->cost(), worker_->pid());
}

}  // namespace loopwatch
