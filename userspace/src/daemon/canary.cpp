// SPDX-License-Identifier: Apache-2.0
#include "daemon/canary.hpp"

#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>
#include <utility>
#include <variant>

#include "util/fd.hpp"
#include "util/reactor.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

timespec as_timespec(std::uint64_t ns)
{
    return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

[[gnu::noinline]] void canary_blocks()
{
    const auto block = as_timespec(Canary::block_ns);
    ::nanosleep(&block, nullptr);
    asm volatile("");  // keeps this frame on the stack: no tail call
}

// On the reactor of the engine, which carries our own probes.
[[noreturn]] void run_canary(std::uint64_t first_ns, std::uint64_t period_ns)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::prctl(PR_SET_NAME, "lw-canary");
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_IGN);  // of a terminal, or a manager
    const Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    const itimerspec at = {as_timespec(period_ns), as_timespec(first_ns)};
    Reactor reactor;
    const auto watch = reactor.watch(timer.raw(), Reactor::Ready::readable, [&] {
        std::uint64_t count = 0;
        if (::read(timer.raw(), &count, sizeof count) == sizeof count) canary_blocks();
    });
    if (!watch || ::timerfd_settime(timer.raw(), 0, &at, nullptr) != 0) ::_exit(1);
    for (;;) reactor.wait_until(monotonic_ns() + 3'600'000'000'000);
}

}  // namespace

Result<Canary> Canary::start(std::uint64_t first_ns, std::uint64_t period_ns)
{
    const pid_t pid = ::fork();
    if (pid < 0) return errno_error(ExitCode::failed, "canary");
    if (pid == 0) run_canary(first_ns, period_ns);
    return Canary(pid, period_ns);
}

Canary::Canary(Canary&& other) noexcept : pid_(std::exchange(other.pid_, -1)), period_ns_(other.period_ns_)
{
}

Canary::~Canary()
{
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

Result<void> CanarySink::take(const Report& report)
{
    const auto* const findings = std::get_if<Findings>(&report);
    if (!findings || !findings->slow || findings->slow->subject.pid != pid_) return {};
    ++found_;
    found_ns_ = monotonic_ns();
    return {};
}

}  // namespace loopwatch
