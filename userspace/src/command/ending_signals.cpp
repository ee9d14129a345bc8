// SPDX-License-Identifier: Apache-2.0
#include "command/ending_signals.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>

#include "util/ending.hpp"

namespace loopwatch {

sigset_t block_ending_signals()
{
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
        // A shell starts background jobs with SIGINT ignored, nohup with SIGHUP: the latter is a wish.
        if (signal != SIGHUP) std::signal(signal, SIG_DFL);
        sigaddset(&set, signal);
    }
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    return set;
}

void unblock_ending_signals()
{
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, signal);
    ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

Result<EndingSignals> EndingSignals::open()
{
    return of(block_ending_signals());
}

Result<EndingSignals> EndingSignals::open_all()
{
    auto set = block_ending_signals();
    for (const int signal : {SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGCONT}) sigaddset(&set, signal);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    return of(set);
}

Result<EndingSignals> EndingSignals::of(const sigset_t& set)
{
    EndingSignals signals;
    signals.signals_ = Fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!signals.signals_) return errno_error(ExitCode::failed, "signalfd");
    return signals;
}

std::optional<EndingSignals::Signal> EndingSignals::take()
{
    signalfd_siginfo signal;
    if (::read(signals_.raw(), &signal, sizeof signal) != sizeof signal) return std::nullopt;
    const int number = static_cast<int>(signal.ssi_signo);
    const char* const reason = number == SIGINT ? "interrupted" : number == SIGHUP ? "hangup" : "terminated";
    const bool ends = number == SIGINT || number == SIGTERM || (number == SIGHUP && hangup_ends_);
    if (ends) note_ending();
    return Signal{number, reason, ends, signal.ssi_code == SI_KERNEL};
}

bool EndingSignals::arrived_within(std::uint64_t timeout_ns)
{
    pollfd wait{signals_.raw(), POLLIN, 0};
    const timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000),
                           static_cast<long>(timeout_ns % 1'000'000'000)};
    return ::ppoll(&wait, 1, &timeout, nullptr) > 0 && take();
}

}  // namespace loopwatch
