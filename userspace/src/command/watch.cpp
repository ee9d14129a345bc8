// SPDX-License-Identifier: Apache-2.0
#include "command/watch.hpp"

#include "command/kernel_session.hpp"
#include "command/preflight.hpp"

namespace loopwatch {

std::unique_ptr<Command> make_watch()
{
    return std::make_unique<WatchCommand>();
}

void WatchCommand::add_options(OptionParser& parser)
{
    processes.add(parser, "loopwatch -p PID, or loopwatch -n NAME; loopwatch --help shows examples");
    parser.flag("--wait", wait, "-n: wait for the first of them");
    parser.check([this]() -> std::optional<Error> {
        if (!wait) return std::nullopt;
        if (processes.name.empty())
            return Error{ExitCode::usage, "--wait: waits for a process by its name", "loopwatch -n NAME --wait"};
        if (!session.tids.empty())
            return Error{ExitCode::usage, "--tid: not together with --wait, as no thread has an id yet",
                         "leave out one"};
        return std::nullopt;
    });
    session.DetectionOptions::add(parser);
    session.TimingOptions::add(parser);
    session.ScopeOptions::add(parser);
    output.add(parser);
    add_gate_options(parser, session.gate);
}

Result<int> WatchCommand::run()
{
    auto pids = processes.find();
    if (!pids && !wait) {
        return Error{pids.error().code, pids.error().what, pids.error().hint + "; --wait waits for it"};
    }
    if (pids) session.pids = std::move(*pids);
    session.name = processes.name;
    session.wait = wait;
    if (auto machine = preflight(); !machine) return machine.error();
    auto hub = output.open(!session.gate.fail_on.empty());
    if (!hub) return hub.error();
    auto watched = KernelSession::open(std::move(session), *hub);
    if (!watched) return watched.error();
    watched->begin();
    const auto code = watched->session->run();
    if (!code) return code.error();
    return static_cast<int>(*code);
}

}  // namespace loopwatch
