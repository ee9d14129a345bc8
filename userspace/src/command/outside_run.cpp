// SPDX-License-Identifier: Apache-2.0
#include "command/outside_run.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <csignal>
#include <iterator>

#include "command/ending_signals.hpp"
#include "command/kernel_session.hpp"
#include "report/gate_files.hpp"
#include "target/launch.hpp"
#include "target/seccomp.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t mapping_ns = 300'000'000;     // how long for ld.so to map the shim, which it does first of all
constexpr std::uint64_t loading_ns = 10'000'000'000;  // and for all libraries, and their constructors
constexpr int look_ms = 2;
constexpr std::uint64_t look_again_ns = 1'000'000'000;  // its end wakes us

// Until the shim holds the program, with all its libraries loaded. False: it does not (it was not loaded, or the
// program has ended).
bool await_hold(const Launch& launch, const std::string& shim)
{
    bool mapped = false;
    for (const auto start = monotonic_ns(); monotonic_ns() < start + (mapped ? loading_ns : mapping_ns);) {
        pollfd waits[] = {{launch.holding(), POLLIN, 0}, {launch.descriptor(), POLLIN, 0}};
        if (::poll(waits, std::size(waits), look_ms) != 0)
            return (waits[0].revents & POLLIN) && !(waits[0].revents & POLLHUP);
        if (!mapped) mapped = read_proc(launch.pid(), "maps", 1 << 20).value_or("").find(shim) != std::string::npos;
    }
    return false;
}

// What comes for us meanwhile is the program's, unless a terminal has told it already.
int await_end(Launch& launch, EndingSignals& signals)
{
    Reactor reactor;
    const auto ended = reactor.watch(launch.descriptor(), Reactor::Ready::readable, [] {});
    const auto asked = reactor.watch(signals.descriptor(), Reactor::Ready::readable, [&] {
        if (const auto signal = signals.take(); signal && !signal->from_terminal) launch.signal(signal->number);
    });
    while (!launch.status()) reactor.wait_until(monotonic_ns() + look_again_ns);
    return *launch.status();
}

}  // namespace

Result<int> run_from_outside(SessionOptions options, const std::vector<std::string>& command, Hub& hub)
{
    // What can be wrong with a rule file, before anything is started.
    if (auto gate = open_gate(options.gate); !gate) return gate.error();
    auto signals = EndingSignals::open_all();
    if (!signals) return signals.error();
    auto program = find_program(command.front());
    if (!program) return program.error();
    auto shim = find_shim();
    if (!shim) return shim.error();
    auto why = why_no_shim(*program);
    if (why.empty()) why = why_shim_is_mute();
    if (!why.empty()) print_warning(fmt::format("{}: no libc names and arguments: {}", *program, why));
    auto launch =
        why.empty() ? Launch::start_held(*program, command, *shim)
                    : Launch::start(*program, command, *shim, [](pid_t) { return Launch::Environment::result_type(); });
    if (!launch) return launch.error();
    options.from_start = why.empty() && await_hold(*launch, *shim);
    if (!options.from_start) launch->release();
    const auto unseen = [&](int status) {
        print_warning(fmt::format("{} ended before anything could be seen of it", command.front()));
        return status;
    };
    if (const auto status = launch->status()) return unseen(*status);
    options.pids = {launch->pid()};
    options.takes_all_signals = true;
    options.hand_on = [&](int number) { launch->signal(number); };
    options.wait_status = [&](std::uint32_t pid) {
        const bool ended = pid == static_cast<std::uint32_t>(launch->pid()) && launch->status();
        return ended ? launch->wait_status() : std::nullopt;
    };
    auto opened = KernelSession::open(std::move(options), hub);
    if (!opened) {
        if (opened.error().code == ExitCode::no_such_target) return unseen(await_end(*launch, *signals));
        launch->signal(SIGTERM);
        launch->release();
        (void)await_end(*launch, *signals);
        return opened.error();
    }
    auto& session = *opened->session;
    opened->begin();
    launch->release();
    const auto code = session.run();
    const auto& signal = session.ended_by();
    const bool time_is_up = code && session.end_reason() == "duration";
    if ((time_is_up || signal) && !launch->status())
        print_note(fmt::format("the session is over, and {} (pid {}) runs until it ends: {}", command.front(),
                               launch->pid(),
                               time_is_up              ? "the time is up, so it is sent SIGTERM"
                               : signal->from_terminal ? "the terminal has sent it the same signal"
                                                       : "it is sent the same signal"));
    if (time_is_up) launch->signal(SIGTERM);
    if (signal && !signal->from_terminal) launch->signal(signal->number);
    const int status = await_end(*launch, *signals);
    if (!code) return code.error();
    if (*code != ExitCode::done) return static_cast<int>(*code);
    return time_is_up && status == 128 + SIGTERM ? 0 : status;
}

}  // namespace loopwatch
