// SPDX-License-Identifier: Apache-2.0
//
// The part of a session before detection is live: everything that can go wrong, goes wrong here.
#include <fmt/format.h>

#include <algorithm>

#include "analysis/calls.hpp"
#include "attach/loop_search.hpp"
#include "command/session.hpp"
#include "target/descendants.hpp"
#include "util/duration.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

Result<std::unique_ptr<Session>> Session::open(SessionOptions options, Hub& hub)
{
    std::unique_ptr<Session> session(new Session(std::move(options), hub));
    auto& wish = session->options_;
    auto gate = open_gate(wish.gate);
    if (!gate) return gate.error();
    session->gate_ = std::move(*gate);
    auto signals = wish.hand_on ? EndingSignals::open_all() : EndingSignals::open();
    if (!signals) return signals.error();
    session->signals_ = std::move(*signals);
    if (auto left = session->leave_out_unwatchable(); !left) return left.error();

    auto worker = SymbolWorker::start();
    if (!worker) return worker.error();
    session->worker_ = std::move(*worker);
    KernelOptions options_of_kernel;
    options_of_kernel.threshold_ns = wish.threshold_ns;
    options_of_kernel.block_threshold_ns = wish.block_threshold_ns;
    options_of_kernel.max_loops = wish.max_loops;
    options_of_kernel.kernel_stacks = wish.kernel_stacks;
    options_of_kernel.path_argument = [](std::size_t syscall) {
        return static_cast<std::uint8_t>(path_argument(static_cast<std::int64_t>(syscall)) + 1);
    };
    options_of_kernel.follow_children = wish.follow_children;
    options_of_kernel.report_children = static_cast<bool>(wish.hand_on);  // `run` says that they are not watched
    options_of_kernel.name = wish.name;
    options_of_kernel.trace = wish.trace;
    options_of_kernel.debug = wish.debug;
    options_of_kernel.coroutines = wish.coroutines;
    options_of_kernel.rung = wish.rung.value_or(best_rung());
    auto kernel = Kernel::open(options_of_kernel);
    if (!kernel) return kernel.error();
    session->kernel_ = std::move(*kernel);
    if (wish.kernel_stacks) session->kernel_symbols_.load_all();
    session->watchdog_.emplace(
        WatchdogOptions{wish.threshold_ns, wish.threshold_ns / 2,
                        std::clamp<std::uint64_t>(wish.threshold_ns / 50, 1'000'000, 10'000'000)},
        *session->kernel_, session->book_);
    session->poll_watch_.emplace(wish.threshold_ns, wish.from_start);
    if (auto attached = session->attach_targets(); !attached) return attached.error();
    if (auto threads = session->check_threads(); !threads) return threads.error();
    if (auto floor = session->check_floor(); !floor) return floor.error();
    return session;
}

// One of several processes that cannot be watched (a zombie of that name, another user's) is left out, with a warning:
// it is not to decide for the others. Fails if none is left.
Result<void> Session::leave_out(pid_t pid, const Error& error)
{
    std::erase(options_.pids, pid);
    left_out_.insert(pid);
    if (options_.pids.empty() && !options_.wait) return error;
    warn(fmt::format("process {} is not watched: {}", pid, error.what));
    return {};
}

Result<void> Session::leave_out_unwatchable()
{
    for (const pid_t pid : std::vector(options_.pids))
        if (auto process = Process::open(pid); !process)
            if (auto left = leave_out(pid, process.error()); !left) return left;
    return {};
}

Result<void> Session::attach_targets()
{
    // What has started before the kernel side was there to report it.
    for (const pid_t pid : options_.name.empty() ? std::vector<pid_t>() : Process::find(options_.name))
        if (std::ranges::find(options_.pids, pid) == options_.pids.end() && !left_out_.contains(pid))
            options_.pids.push_back(pid);
    // All of them before the first is attached to, and could take what is for the others too.
    for (const pid_t pid : options_.pids) (void)kernel_->admit(pid);
    for (const pid_t pid : std::vector(options_.pids)) {
        auto attachment = Attachment::attach(pid, *kernel_, *worker_, attachment_options_);
        if (!attachment) {
            kernel_->dismiss(pid);
            if (auto left = leave_out(pid, attachment.error()); !left) return left;
            continue;
        }
        targets_[static_cast<std::uint32_t>(pid)] = std::move(*attachment);
    }
    if (options_.follow_children) {
        for (const pid_t pid : options_.pids)
            for (const pid_t child : descendants(pid)) children_.born(child, 0);
        adopt(monotonic_ns());
    }
    if (options_.from_start) {
        for (const auto& [pid, target] : targets_) target->read_code_ahead();
        if (kernel_->unprobed().watch_polls(true)) (void)kernel_->unprobed().await_polls();
    }
    find_loops(targets_, *kernel_, *worker_, [this](const Event& event) {
        if (early_.size() < max_records) early_.push_back(event);
    });
    if (!options_.from_start)
        for (const auto& [pid, target] : targets_) target->warn_of_blindness();
    if (kernel_->rung() == AttachRung::none)
        warnings_.push_back("probes are not attached (--attach=none): only what the scheduler tells is seen");
    if (kernel_->rung() == AttachRung::perf_pid)
        warnings_.push_back(
            "probes are attached one by one: about 0.2 us a site on each context switch of the target, slow to detach");
    return {};
}

Result<void> Session::check_threads()
{
    for (const auto tid : options_.tids) {
        const auto has = [&](const auto& target) {
            const auto threads = target.second->process().threads();
            return std::find(threads.begin(), threads.end(), static_cast<pid_t>(tid)) != threads.end();
        };
        if (std::none_of(targets_.begin(), targets_.end(), has))
            return Error{ExitCode::no_such_target, fmt::format("no watched process has a thread {}", tid),
                         "list its threads with: ps -T -p PID"};
        const auto loops = [&](const auto& target) {
            const auto& known = target.second->known_loops();
            return std::any_of(known.begin(), known.end(), [&](const LoopView& loop) { return loop.tid == tid; });
        };
        if (std::none_of(targets_.begin(), targets_.end(), loops)) {
            warn(fmt::format("thread {} runs no loop: nothing is reported of it unless it begins to", tid));
        }
    }
    return {};
}

// The runtime reports no dispatch below its floor, so a threshold below it would promise what cannot be seen.
Result<void> Session::check_floor()
{
    for (auto& [pid, target] : targets_)
        for (const auto& loop : target->known_loops()) {
            LoopState slot;
            if (!target->read(loop, slot) || slot.floor_ns <= options_.threshold_ns) continue;
            auto below = fmt::format("threshold {} is below the floor of process {} ({})",
                                     format_duration(options_.threshold_ns), pid, format_duration(slot.floor_ns));
            if (targets_.size() > 1) {
                warn(below + ": its shorter dispatches are not seen");
                break;
            }
            return Error{ExitCode::usage, std::move(below),
                         fmt::format("start the program with LOOPWATCH_FLOOR={}us, or let it call Loop::set_floor",
                                     std::max<std::uint64_t>(1, options_.threshold_ns / 1000))};
        }
    return {};
}

}  // namespace loopwatch
