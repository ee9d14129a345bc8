// SPDX-License-Identifier: Apache-2.0
#include "session/outside_run.hpp"

#include <fmt/format.h>
#include <poll.h>

#include <csignal>

#include "session/session.hpp"
#include "target/launch.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t loading_ns = 300'000'000;  // how long for ld.so to map the shim
constexpr int look_ms = 2;

// Its probes are attached at the start of the session, or an interval later.
void await_shim(const Launch& launch, const std::string& shim)
{
    const auto until = monotonic_ns() + loading_ns;
    while (monotonic_ns() < until) {
        const auto maps = read_proc(launch.pid(), "maps", 1 << 20).value_or("");
        if (maps.find(shim) != std::string::npos) return;
        pollfd ended{launch.descriptor(), POLLIN, 0};
        if (::poll(&ended, 1, look_ms) != 0) return;
    }
}

int await_end(Launch& launch)
{
    while (!launch.status()) {
        pollfd ended{launch.descriptor(), POLLIN, 0};
        ::poll(&ended, 1, -1);
    }
    return *launch.status();
}

}  // namespace

Result<int> run_from_outside(SessionOptions options, const std::vector<std::string>& command, Sink& sink)
{
    auto program = find_program(command.front());
    if (!program) return program.error();
    auto shim = find_shim();
    if (!shim) return shim.error();
    if (const auto why = why_no_shim(*program); !why.empty())
        print_warning(fmt::format("{}: no libc names and arguments: {}", *program, why));
    auto launch = Launch::start(*program, command, *shim, [](pid_t) { return Launch::Environment::result_type(); });
    if (!launch) return launch.error();
    await_shim(*launch, *shim);
    if (const auto status = launch->status()) return *status;  // before anything could be seen
    options.pids = {launch->pid()};
    auto session = Session::open(std::move(options), sink);
    if (!session) {
        launch->signal(SIGTERM);
        (void)await_end(*launch);
        return session.error();
    }
    const auto code = (*session)->run();
    if (!launch->status()) launch->signal(SIGTERM);
    const int status = await_end(*launch);
    if (!code) return code.error();
    return *code == ExitCode::done ? status : static_cast<int>(*code);
}

}  // namespace loopwatch
