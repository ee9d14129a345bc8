// SPDX-License-Identifier: Apache-2.0
#include "command/session.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

#include "command/session_records.hpp"
#include "util/log.hpp"
#include "util/priority.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

Session::Session(SessionOptions options, Hub& hub, Gate gate, EndingSignals signals,
                 std::unique_ptr<SymbolWorker> worker)
    : options_(std::move(options)),
      gate_(std::move(gate)),
      reporter_(hub, gate_),
      worker_(std::move(worker)),
      signals_(std::move(signals)),
      engine_({options_.tids, options_.wait_status}, reactor_, *worker_, kernel_symbols_,
              [this](Report&& report) { publish(std::move(report)); })
{
}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::open(SessionOptions options, Hub& hub)
{
    auto gate = open_gate(options.gate);
    if (!gate) return gate.error();
    auto signals = options.takes_all_signals ? EndingSignals::open_all() : EndingSignals::open();
    if (!signals) return signals.error();
    if (options.on_hangup) signals->keep_on_hangup();
    auto worker = SymbolWorker::start();
    if (!worker) return worker.error();
    std::unique_ptr<Session> session(
        new Session(std::move(options), hub, std::move(*gate), std::move(*signals), std::move(*worker)));
    if (auto watched = session->watch(); !watched) return watched.error();
    return session;
}

Result<void> Session::watch()
{
    auto signals = reactor_.watch(signals_.descriptor(), Reactor::Ready::readable, [this] { on_signal(); });
    if (!signals) return signals.error();
    signal_watch_ = std::move(*signals);
    auto answers = reactor_.watch(worker_->descriptor(), Reactor::Ready::readable, [this] { worker_->poll(); });
    if (!answers) return answers.error();
    answers_ = std::move(*answers);
    return {};
}

void Session::publish(Report&& report)
{
    const auto* const warning = std::get_if<Warning>(&report);
    if (started_ns_ != 0 || !warning) return reporter_.take(std::move(report));
    print_warning(warning->text);
    warnings_.push_back(warning->text);
}

void Session::begin(TargetSource& source, std::vector<int> tiers)
{
    source_ = &source;
    run_promptly(0);
    started_ns_ = monotonic_ns();
    next_interval_ns_ = started_ns_ + options_.interval_ns;
    if (options_.interval_ns > Strip::step_ns) next_step_ns_ = started_ns_ + Strip::step_ns;
    watched_ = options_.program.empty() ? options_.name : options_.program;
    const auto& targets = engine_.targets();
    if (options_.program.empty() && !targets.empty()) watched_ = targets.begin()->second->comm();
    for (const auto& [pid, target] : targets)
        if (!target->known_loops().empty()) target->check_names();
    auto start = session_start(options_, warnings_, targets);
    start.tiers.insert(start.tiers.end(), tiers.begin(), tiers.end());
    reporter_.take(std::move(start));
    engine_.start(source, started_ns_);
    reporter_.flush();
}

void Session::drop_privileges(CoreWork rest)
{
    const bool writes_later = !options_.gate.reports.empty() || !options_.gate.write_baseline.empty();
    if (auto dropped = confine_core(rest, writes_later); !dropped)
        engine_.warn("privileges that are not needed any more are kept: " + dropped.error().what);
}

Result<ExitCode> Session::run()
{
    bool more = false;
    while (!over_ && !reporter_.failure() && !source_->exhausted()) {
        wait(more, [this, &more] { more = turn(); });
        if (rest_ && monotonic_ns() >= drop_at_ns_) drop_privileges(*std::exchange(rest_, std::nullopt));
    }
    if (end_reason_.empty()) end_reason_ = "target_end";
    if (reporter_.failure()) end_reason_ = "output_failed";
    finish();
    reporter_.close();
    if (reporter_.failure()) return *reporter_.failure();
    const bool blind = !engine_.saw_loop() && !gate_.failed() && !options_.gate.fail_on.empty();
    if (blind) gate_.fail("no_loop_watched", nothing_watched(watched_).what);
    if (auto closed = close_gate(options_.gate, gate_, watched_, reporter_.completeness()); !closed)
        return closed.error();
    if (blind) return nothing_watched(watched_);
    return gate_.failed() ? ExitCode::fail_on_matched : ExitCode::done;
}

// True: more waits.
bool Session::turn()
{
    const auto now = monotonic_ns();
    const bool more = engine_.turn(now);
    if (next_step_ns_ && now >= next_step_ns_) {
        engine_.step(now);
        next_step_ns_ += Strip::step_ns;
    }
    if (now >= next_interval_ns_) interval(now);
    reporter_.flush();
    if (options_.housekeeping) housekeeping_ns_ = options_.housekeeping(now);
    if (options_.duration_ns && !asked_to_end_ && now - started_ns_ >= options_.duration_ns) ask_to_end(nullptr);
    return more;
}

void Session::wait(bool more, std::function<void()> then)
{
    // One that stays is kept: the end of a watch is an event as well.
    auto before = std::exchange(outputs_, {});
    for (const int output : reporter_.waits_for()) {
        if (auto known = before.extract(output); !known.empty())
            outputs_.insert(std::move(known));
        else if (auto watch = reactor_.watch(output, Reactor::Ready::writable, [] {}))
            outputs_.emplace(output, std::move(*watch));
    }
    std::uint64_t until_ns = next_interval_ns_;
    for (const auto due_ns : {engine_.next_ns(), source_->next_ns(), next_step_ns_, housekeeping_ns_})
        if (due_ns) until_ns = std::min(until_ns, due_ns);
    if (options_.duration_ns && !asked_to_end_) until_ns = std::min(until_ns, started_ns_ + options_.duration_ns);
    if (rest_) until_ns = std::min(until_ns, drop_at_ns_);
    const bool reading = kernel_symbols_.read_some();
    reactor_.wait_until(more || reading ? 0 : until_ns, std::move(then));
}

void Session::on_signal()
{
    const auto signal = signals_.take();
    if (!signal) return;
    if (signal->number == SIGHUP && options_.on_hangup) return options_.on_hangup();
    if (!signal->ends) {
        if (!signal->from_terminal) options_.hand_on(signal->number);  // else it has had it
        return;
    }
    ended_by_ = signal;
    ask_to_end(&*ended_by_);
}

// A program that was started may be asked to end itself, and be watched until it has. The second time it is left alone.
void Session::ask_to_end(const EndingSignals::Signal* signal)
{
    end_reason_ = signal ? signal->reason : "duration";
    const bool waits = options_.end_program(signal);
    over_ = std::exchange(asked_to_end_, true) || !waits;
}

void Session::interval(std::uint64_t now_ns)
{
    next_interval_ns_ = now_ns + options_.interval_ns;
    engine_.interval(now_ns);
    reporter_.publish_causes();
    reporter_.take(SessionStats{now_ns, losses(), {}, overhead()});
}

void Session::finish()
{
    signal_watch_ = {};  // how it ended is decided
    engine_.finish();
    reporter_.judge_unfinished();
    reporter_.publish_causes();
    auto end = session_end(reporter_, engine_.statistics(), losses(), started_ns_, engine_.saw_loop());
    for (const auto& [name, count] : source_->coverage()) end.coverage[name] = count;
    end.overhead = overhead();
    end.reason = end_reason_;
    reporter_.take(std::move(end));
}

Counts Session::losses() const
{
    auto lost = engine_.losses();
    lost["fingerprints_forgotten"] = reporter_.fingerprints_forgotten();
    lost["causes_untracked"] = reporter_.causes_untracked();
    return lost;
}

Overhead Session::overhead() const
{
    return own_overhead(source_->overhead(), worker_->pid());
}

}  // namespace loopwatch
