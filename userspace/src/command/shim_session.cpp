// SPDX-License-Identifier: Apache-2.0
#include "command/shim_session.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "analysis/calls.hpp"
#include "analysis/explain.hpp"
#include "collect/task_snapshot.hpp"
#include "command/session_records.hpp"
#include "detect/idle_split.hpp"
#include "detect/iteration.hpp"
#include "resolve/investigation.hpp"
#include "target/seccomp.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_records = 4096;  // handled in one round
constexpr std::size_t max_targets = 1024;
constexpr std::uint64_t tick_ns = 10'000'000;
constexpr std::uint64_t drain_timeout_ns = 5'000'000'000;  // how long an end waits for names

// A wait for a lock, or a system call by its number: it may be the loop's own.
bool may_be_idle(const CallEvent& call)
{
    const auto* const row = find_call(call.call);
    return row != nullptr && (row->rule == CallRule::lock || row->rule == CallRule::other);
}

// 0: not known.
std::uint64_t own_pid_namespace()
{
    struct stat info = {};
    return ::stat("/proc/self/ns/pid", &info) == 0 ? info.st_ino : 0;
}

EventHead dispatch_of(const LoopView& loop, std::uint64_t seq)
{
    EventHead event = {};
    event.tid = loop.tid;
    event.loop_id = loop.id;
    event.seq = seq;
    return event;
}

}  // namespace

ShimSession::ShimSession(SessionOptions options, Hub& hub) : options_(std::move(options)), reporter_(hub, gate_)
{
}

ShimSession::~ShimSession()
{
    if (directory_.empty()) return;
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(::opendir(directory_.c_str()), ::closedir);
    while (const dirent* entry = entries ? ::readdir(entries.get()) : nullptr)
        if (entry->d_name[0] != '.') ::unlink((directory_ + "/" + entry->d_name).c_str());
    ::rmdir(directory_.c_str());
}

Result<std::unique_ptr<ShimSession>> ShimSession::open(SessionOptions options, std::vector<std::string> command,
                                                       Hub& hub)
{
    std::unique_ptr<ShimSession> session(new ShimSession(std::move(options), hub));
    auto gate = open_gate(session->options_.gate);
    if (!gate) return gate.error();
    session->gate_ = std::move(*gate);
    session->name_ = command.front().substr(command.front().rfind('/') + 1);
    auto shim = find_shim();
    if (!shim) return shim.error();
    auto program = find_program(command.front());
    if (!program) return program.error();
    auto why = why_no_shim(*program);
    if (why.empty()) why = why_shim_is_mute();
    if (!why.empty())
        return Error{ExitCode::not_permitted, fmt::format("{} cannot be watched from inside: {}", *program, why),
                     "start it, and watch it from outside: sudo loopwatch -p PID"};
    auto signals = EndingSignals::open_all();
    if (!signals) return signals.error();
    session->signals_ = std::move(*signals);
    auto worker = SymbolWorker::start();
    if (!worker) return worker.error();
    session->worker_ = std::move(*worker);
    if (auto made = session->make_directory(); !made) return made.error();
    const auto& wish = session->options_;
    session->started_ns_ = monotonic_ns();
    auto start = session_start(wish, {}, {});
    start.tiers = {1};
    const Fd file(::open(program->c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    session->unreadable_ = !file && errno == EACCES;
    if (file)
        if (const auto scan = session->worker_->scan(file.raw()); scan && brings_runtime(*scan))
            start.tiers.push_back(3);
    session->reporter_.publish(start);
    session->reporter_.flush();
    if (session->reporter_.failure()) return *session->reporter_.failure();
    // PID 0: whoever inherits it. The program itself is told its own pid by the launcher.
    auto launched = Launch::start(*program, command, *shim, [&](pid_t pid) {
        return std::vector<std::pair<std::string, std::string>>{
            {run_variable, fmt::format("{}:{}:{}:{}:{}", wish.follow_children ? 0 : pid, wish.threshold_ns,
                                       wish.block_threshold_ns, own_pid_namespace(), session->directory_)}};
    });
    if (!launched) return launched.error();
    session->launched_ = std::move(*launched);
    return session;
}

// In memory: what a disk would have to write back is read once and thrown away.
Result<void> ShimSession::make_directory()
{
    const char* const temporary = std::getenv("TMPDIR");
    for (const std::string place : {"/dev/shm", temporary ? temporary : "", "/tmp"}) {
        if (place.empty()) continue;
        auto name = place + "/loopwatch-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) continue;
        directory_ = name;
        newcomers_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (!newcomers_ || ::inotify_add_watch(newcomers_.raw(), directory_.c_str(), IN_CREATE) < 0)
            return errno_error(ExitCode::failed, "inotify");
        return {};
    }
    return errno_error(ExitCode::failed, "no directory for the shim's rings in /dev/shm, TMPDIR or /tmp");
}

Result<int> ShimSession::run()
{
    next_interval_ns_ = started_ns_ + options_.interval_ns;
    next_tick_ns_ = started_ns_;
    while (!over_ && !reporter_.failure()) {
        wait();
        const auto now = monotonic_ns();
        if (now >= next_tick_ns_) tick(now);
        if (now >= next_interval_ns_) interval(now);
        if (options_.duration_ns && !asked_to_end_ && now - started_ns_ >= options_.duration_ns) {
            end_reason_ = "duration";
            asked_to_end_ = true;
            launched_->signal(SIGTERM);
        }
        reporter_.flush();
        if (launched_->status() && (!options_.follow_children || targets_.empty())) over_ = true;
    }
    if (reporter_.failure()) end_reason_ = "output_failed";
    finish();
    reporter_.close();
    if (reporter_.failure()) return *reporter_.failure();
    const bool blind = ended_.loops == 0 && !gate_.failed() && !options_.gate.fail_on.empty();
    if (blind) gate_.fail("no_loop_watched", nothing_watched(name_).what);
    if (auto closed = close_gate(options_.gate, gate_, name_, reporter_.completeness()); !closed) return closed.error();
    if (blind) return nothing_watched(name_);
    if (gate_.failed()) return static_cast<int>(ExitCode::fail_on_matched);
    const int status = launched_->status().value_or(0);
    return end_reason_ == "duration" && status == 128 + SIGTERM ? 0 : status;
}

void ShimSession::wait()
{
    std::vector<pollfd> waits = {{worker_->descriptor(), POLLIN, 0},
                                 {signals_.descriptor(), POLLIN, 0},
                                 {newcomers_.raw(), POLLIN, 0},
                                 {launched_->status() ? -1 : launched_->descriptor(), POLLIN, 0}};
    for (const int fd : reporter_.waits_for()) waits.push_back({fd, POLLOUT, 0});
    auto until = std::min(next_interval_ns_, next_tick_ns_);
    if (options_.duration_ns && !asked_to_end_) until = std::min(until, started_ns_ + options_.duration_ns);
    const auto now = monotonic_ns();
    const auto left = until > now ? until - now : 0;
    const timespec timeout{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
    ::ppoll(waits.data(), waits.size(), &timeout, nullptr);
    if (waits[0].revents) worker_->poll();
    if (waits[1].revents) on_signal();
    if (waits[2].revents) meet_newcomers();
    if (waits[3].revents && launched_->status()) next_tick_ns_ = 0;
}

// A terminal's ^C has reached the program already, as its own.
void ShimSession::on_signal()
{
    const auto signal = signals_.take();
    if (!signal) return;
    if (!signal->from_terminal) launched_->signal(signal->number);
    if (!signal->ends) return;
    over_ = std::exchange(asked_to_end_, true);  // the second one: at once
    end_reason_ = std::move(signal->reason);
}

void ShimSession::meet_newcomers()
{
    alignas(inotify_event) char buffer[4096];
    while (true) {
        const ssize_t got = ::read(newcomers_.raw(), buffer, sizeof buffer);
        if (got <= 0) return;
        for (ssize_t at = 0; at + static_cast<ssize_t>(sizeof(inotify_event)) <= got;) {
            inotify_event event;
            std::memcpy(&event, buffer + at, sizeof event);
            if (event.mask & IN_Q_OVERFLOW) ++missed_;
            if (event.len) meet(directory_ + "/" + (buffer + at + sizeof event));
            at += static_cast<ssize_t>(sizeof event + event.len);
        }
    }
}

void ShimSession::meet(const std::string& path)
{
    const auto name = ring_name(path);
    if (name == RingName::unwatched_child) children_unwatched_ = true;
    if (name == RingName::child_elsewhere && !std::exchange(child_elsewhere_, true))
        reporter_.warn(std::nullopt,
                       "a process that it started has a PID namespace of its own, and is not watched from inside",
                       "sudo loopwatch run --follow-children, or sudo loopwatch -p PID");
    if (name != RingName::ring) return;
    auto ring = ShimRing::open(path);
    ::unlink(path.c_str());
    if (!ring) {
        ++missed_;
        return reporter_.warn(std::nullopt, ring.error().what, ring.error().hint);
    }
    if (targets_.size() >= max_targets) {
        ++missed_;
        return;
    }
    // Before its successor: what is known of a process by its pid ends with it.
    if (targets_.contains(ring->pid())) end_target(ring->pid(), "exec");
    const auto ring_pid = ring->pid();
    auto target = ShimTarget::open(std::move(*ring), *worker_, options_.threshold_ns);
    if (!target) {
        ++missed_;
        if (target.error().code != ExitCode::no_such_target) warn_of_closed(ring_pid, target.error());
        return;  // else it lived for less than a moment
    }
    const auto pid = (*target)->pid();
    met_ |= pid == static_cast<std::uint32_t>(launched_->pid());
    reporter_.publish(target_start(**target));
    targets_[pid] = std::move(*target);
}

// Without its memory and its modules nothing that its shim tells has a name.
void ShimSession::warn_of_closed(std::uint32_t pid, const Error& error)
{
    const bool is_program = pid == static_cast<std::uint32_t>(launched_->pid());
    closed_ |= is_program;
    if (!is_program || !unreadable_) return reporter_.warn(std::nullopt, error.what, error.hint);
    reporter_.warn(std::nullopt,
                   fmt::format("the file of the program is not readable, so the kernel does not let us look into the "
                               "process ({})",
                               pid),
                   "chmod u+r it, or run loopwatch with sudo");
}

bool ShimSession::drain()
{
    bool all = true;
    for (auto& [pid, target] : targets_)
        all &= target->drain(max_records, [this](const Event& event) { on_event(event); });
    explain_ended(book_.take_superseded(), monotonic_ns());
    return all;
}

void ShimSession::on_event(const Event& event)
{
    std::visit([this](const auto& typed) { on(typed); }, event);
}

void ShimSession::on(const DispatchEvent& event)
{
    if (!wanted(event.head.tid)) return;
    statistics_.reported(event.head.tid, event.head.loop_id, event.end_ns - event.start_ns);
    const auto now = monotonic_ns();
    // First those of which calls are known: their ends are not to be reported without these.
    explain_ended(book_.take_superseded(), now);
    explain_lost_ends(lost_ends_.take_before(event.head, now));
    auto bundle = book_.close(event);
    // Of calls for which the ring had no room. The kernel side means another thing by it.
    bundle.unrecorded_ns += std::exchange(bundle.closing->other_blocked_ns, 0);
    if (!lost_ends_.came(event.head)) bundle.closing->slow = false;  // it was reported
    explain_bundle(std::move(bundle));
}

void ShimSession::on(const IterationEvent& event)
{
    if (wanted(event.head.tid)) explain_bundle(book_.close(event));
}

void ShimSession::on(const CallEvent& event)
{
    if (wanted(event.head.tid)) book_.add(event);
}

void ShimSession::on(const ShimWaitEvent& event)
{
    if (const auto target = targets_.find(event.head.pid); target != targets_.end()) target->second->judge(event);
}

void ShimSession::explain_bundle(DispatchBundle bundle)
{
    const auto target = targets_.find(bundle.pid);
    if (target == targets_.end()) return;
    // Before the shim was told where the loop waits, one iteration seemed to go on in what are several.
    auto parked = std::make_shared<DispatchBundle>();
    if (std::ranges::any_of(bundle.calls, may_be_idle)) *parked = bundle;
    const auto finish = [this, parked, tid = bundle.tid, pid = bundle.pid](DispatchFacts facts) {
        const auto of = targets_.find(pid);
        const auto idles = [&](std::uint64_t caller) {
            return of != targets_.end() && of->second->idles_at(tid, caller);
        };
        if (std::ranges::any_of(parked->calls, [&](const CallEvent& call) { return idles(call.caller); })) {
            for (auto& part : split_at_idle(*parked, idles, options_.threshold_ns)) explain_bundle(std::move(part));
            return;
        }
        if (of != targets_.end()) mark_loop(facts, of->second->sites());
        if (of != targets_.end() && facts.iteration && !remove_after_loop(facts, of->second->sites())) return;
        facts.scheduler_seen = false;
        reporter_.publish(explain(facts, {options_.threshold_ns, options_.block_threshold_ns}));
    };
    investigate(std::move(bundle), *target->second, *worker_, kernel_symbols_, investigations_, finish);
}

void ShimSession::tick(std::uint64_t now_ns)
{
    next_tick_ns_ = now_ns + std::clamp(options_.threshold_ns / 5, tick_ns, 5 * tick_ns);
    for (auto& [pid, target] : targets_) {
        meet_loops(*target, now_ns);
        for (const auto& loop : std::vector(target->known_loops())) look(*target, loop, now_ns);
    }
    if (!drain())
        next_tick_ns_ = now_ns;
    else
        explain_lost_ends(lost_ends_.take(now_ns));
    std::vector<std::uint32_t> ended;
    for (const auto& [pid, target] : targets_)
        if (!target->process().alive()) ended.push_back(pid);
    for (const auto pid : ended) end_target(pid, "exited");
}

// They began during the session. By then the runtime has opened its perf map, which it had not when the shim was
// loaded.
void ShimSession::meet_loops(ShimTarget& target, std::uint64_t now_ns)
{
    const auto born = target.look();
    for (const auto& loop : born) statistics_.born(loop.tid, loop.id, now_ns);
    if (!born.empty()) target.refresh();
}

// Tells of a dispatch once it is as old as the threshold, and at twice, four times … that.
void ShimSession::look(ShimTarget& target, const LoopView& loop, std::uint64_t now_ns)
{
    LoopState slot = {};
    if (!wanted(loop.tid) || !target.read(loop, slot)) return;
    auto& seen = seen_[loop.tid];
    if (seen.seq != slot.seq) {
        lost_ends_.over(dispatch_of(loop, seen.seq), monotonic_ns());
        seen = {slot.seq, now_ns, options_.threshold_ns, target.counts().lost};
    }
    if (!(slot.seq & 1)) return;
    const auto start_ns = slot.start ? moment_ns(slot, slot.start) : seen.since_ns;
    const auto age_ns = now_ns > start_ns ? now_ns - start_ns : 0;
    next_tick_ns_ = std::min(next_tick_ns_, std::max(start_ns + seen.told_ns, now_ns + 1'000'000));
    if (age_ns < seen.told_ns) return;
    if (!target.process().has_thread(static_cast<pid_t>(loop.tid))) return;  // it ended in the middle of it
    // A call that ends meanwhile is one or the other: told, or still going on when we looked.
    const auto seq = slot.seq;
    const auto ongoing = target.ongoing(loop, seq, now_ns);
    meet_loops(target, now_ns);
    target.drain(max_records, [this](const Event& event) { on_event(event); });
    if (!target.read(loop, slot) || slot.seq != seq) return;
    while (age_ns >= seen.told_ns) seen.told_ns *= 2;
    auto bundle = book_.so_far(loop.tid, slot.seq);
    bundle.in_progress = true;
    bundle.start_known = target.saw_begin(loop, slot);
    bundle.pid = target.pid();
    bundle.loop_id = slot.loop_id;
    DispatchEvent closing = {};
    closing.head.seq = slot.seq;
    closing.start_ns = start_ns;
    closing.end_ns = now_ns;
    closing.resume = slot.resume;
    closing.slow = true;
    if (slot.task) closing.task = view_task(slot.task, target.loops().memory());
    bundle.closing = closing;
    bundle.calls_missing = target.counts().lost != seen.lost;
    for (auto& call : target.calls_so_far(loop, slot.seq))
        if (is_rest(call))
            bundle.add_rest(call);
        else
            bundle.calls.push_back(std::move(call));
    const auto began = [](const CallEvent& call) { return call.start_ns; };
    if (ongoing && std::ranges::find(bundle.calls, ongoing->start_ns, began) == bundle.calls.end())
        bundle.calls.push_back(*ongoing);
    closing.head = dispatch_of(loop, slot.seq);
    closing.head.pid = target.pid();
    lost_ends_.reported(closing, bundle.start_known);
    if (loop.slot) statistics_.reported(loop.tid, loop.id, age_ns, false);
    explain_bundle(std::move(bundle));
}

// Later records of their threads have come, or none will: what closes them has been lost.
void ShimSession::explain_ended(std::vector<DispatchBundle> bundles, std::uint64_t now_ns)
{
    for (auto& bundle : bundles) {
        lost_ends_.close(bundle, now_ns);
        explain_bundle(std::move(bundle));
    }
}

void ShimSession::explain_lost_ends(const std::vector<LostEnds::End>& ends)
{
    for (const auto& end : ends) {
        auto bundle = book_.close(end.closing);
        bundle.start_known = end.start_known;
        bundle.end_known = false;
        bundle.calls_missing = true;
        explain_bundle(std::move(bundle));
    }
}

// Of a target that ends: is its last dispatch over?
void ShimSession::note_end(ShimTarget& target, const LoopView& loop, std::uint64_t now_ns)
{
    LoopState slot = {};
    const auto seen = seen_.find(loop.tid);
    if (seen != seen_.end() && target.read(loop, slot) && slot.seq != seen->second.seq)
        lost_ends_.over(dispatch_of(loop, seen->second.seq), now_ns);
}

void ShimSession::interval(std::uint64_t now_ns)
{
    next_interval_ns_ = now_ns + options_.interval_ns;
    for (auto& [pid, target] : targets_) {
        target->refresh();
        if (!target->known_loops().empty()) target->check_names();
        reporter_.warn(*target);
        for (auto& stats : statistics_.look(*target, now_ns)) reporter_.publish(stats);
    }
    reporter_.publish(SessionStats{now_ns, losses(), {}, own_overhead({}, worker_->pid())});
}

void ShimSession::end_target(std::uint32_t pid, const char* reason)
{
    auto& target = *targets_.at(pid);
    meet_loops(target, monotonic_ns());
    while (!target.drain(max_records, [this](const Event& event) { on_event(event); })) {
    }
    const auto now = monotonic_ns();
    explain_ended(book_.take_superseded(), now);
    for (const auto& loop : target.known_loops()) note_end(target, loop, now);
    explain_lost_ends(lost_ends_.take_of(pid));
    explain_ended(book_.take_superseded(), now);
    for (const auto& loop : target.known_loops())
        for (auto& bundle : book_.abandon(loop.tid)) explain_bundle(std::move(bundle));
    for (auto& stats : statistics_.look(target, now)) reporter_.publish(stats);
    while (worker_->pending() && monotonic_ns() < now + drain_timeout_ns) {
        pollfd answer{worker_->descriptor(), POLLIN, 0};
        ::poll(&answer, 1, 50);
        worker_->poll();
    }
    if (worker_->pending()) {
        worker_->give_up();
        worker_->poll();
    }
    const bool is_program = pid == static_cast<std::uint32_t>(launched_->pid());
    if (!target.known_loops().empty()) target.check_names();
    reporter_.warn(target);
    TargetEnd end{target.whole(), monotonic_ns(), reason, std::nullopt};
    if (is_program) end.exit_status = launched_->wait_status();
    reporter_.publish(end);
    ended_ += target.counts();
    note_unproven(target);
    for (const auto& loop : target.known_loops()) seen_.erase(loop.tid);
    statistics_.forget(target);
    targets_.erase(pid);
}

void ShimSession::note_unproven(const ShimTarget& target)
{
    const auto more = target.unproven();
    if (more.threads != 0 && first_unproven_.empty())
        first_unproven_ = fmt::format("{} (pid {})", target.comm(), target.pid());
    unproven_.threads += more.threads;
    unproven_.held += more.held;
}

void ShimSession::finish()
{
    meet_newcomers();
    while (!targets_.empty())
        end_target(targets_.begin()->first, targets_.begin()->second->process().alive() ? "detached" : "exited");
    if (!met_ && !closed_)
        reporter_.warn(
            std::nullopt,
            fmt::format("{} was never seen from inside: the shim was not loaded into it, or it ended at once",
                        launched_->pid()));
    if (children_unwatched_)
        reporter_.warn(std::nullopt, "it started other programs, which were not watched", "--follow-children");
    if (unproven_.threads != 0)
        reporter_.warn(
            std::nullopt,
            fmt::format("{} waited for events fewer than three times in one place, so {} not recognised as an event "
                        "loop: what held {} for longer than a threshold ({} times) is not reported",
                        unproven_.threads == 1
                            ? "a thread of " + first_unproven_
                            : fmt::format("{} threads, the first of {},", unproven_.threads, first_unproven_),
                        unproven_.threads == 1 ? "it was" : "they were", unproven_.threads == 1 ? "it" : "them",
                        unproven_.held));
    reporter_.judge_unfinished();
    auto end = session_end(reporter_, statistics_, losses(), started_ns_, ended_.loops != 0);
    end.coverage["calls_measured"] = ended_.calls;
    end.overhead = own_overhead({}, worker_->pid());
    end.reason = end_reason_;
    reporter_.publish(end);
}

Counts ShimSession::losses() const
{
    auto rings = ended_;
    for (const auto& [pid, target] : targets_) rings += target->counts();
    Counts lost;
    lost["ring_full"] = rings.lost;
    lost["stack_budget"] = rings.stacks_left_out;
    lost["loops_untracked"] = rings.lanes_refused;
    lost["record_undecodable"] = rings.corrupt;
    lost["iteration_unproven"] = unproven_.held;
    lost["processes_missed"] = missed_;
    lost["symbol_worker"] = worker_->failures() + investigations_.unnamed;
    lost["dispatch_book"] = book_.overflow();
    lost["fingerprints_forgotten"] = reporter_.fingerprints_forgotten();
    return lost;
}

}  // namespace loopwatch
