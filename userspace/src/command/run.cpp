// SPDX-License-Identifier: Apache-2.0
#include "command/run.hpp"

#include <cstdlib>

#include "command/inside_run.hpp"
#include "command/outside_run.hpp"
#include "command/preflight.hpp"

namespace loopwatch {

namespace {

// Among the program's own messages: its output goes to stdout.
constexpr const char* own_output = "/dev/stderr";
constexpr std::uint64_t default_floor_ns = 100'000;  // the runtime's

}  // namespace

std::unique_ptr<Command> make_run()
{
    return std::make_unique<RunCommand>();
}

RunCommand::RunCommand()
{
    output.default_file = own_output;
    // As strace and perf stat do: what is among the program's own messages is for people.
    output.default_format = "text";
}

void RunCommand::add_options(OptionParser& parser)
{
    parser.program("CMD", command_line);
    parser.flag("--inside", inside, "Use only the LD_PRELOAD shim, even where eBPF is available");
    session.DetectionOptions::add(parser);
    session.TimingOptions::add(parser);
    parser.flag("--follow-children", session.follow_children, "Also the processes that it forks");
    output.add(parser);
    add_gate_options(parser, session.gate);
    parser.check([this]() -> std::optional<Error> {
        if (command_line.empty())
            return Error{ExitCode::usage, "run: no program given", "loopwatch run [OPTIONS] -- PROGRAM [ARGUMENTS]"};
        if (inside && session.need_kernel_side())
            return Error{ExitCode::usage,
                         "run: --trace, --debug, --coroutines and --kernel-stacks need the kernel side",
                         "without --inside, and with sudo"};
        return std::nullopt;
    });
}

Result<int> RunCommand::start(bool outside, Hub& hub)
{
    if (outside) return run_from_outside(std::move(session), command_line, hub);
    return run_from_inside(std::move(session), command_line, hub);
}

Result<int> RunCommand::run()
{
    const auto machine = preflight();
    const bool outside = machine.has_value() && !inside;
    if (!outside && session.need_kernel_side())
        return Error{ExitCode::not_permitted,
                     "--trace, --debug, --coroutines and --kernel-stacks need the kernel side: " + machine.error().what,
                     machine.error().hint};
    if (session.thresholds.slow_ns < default_floor_ns && std::getenv("LOOPWATCH_FLOOR") == nullptr)
        return Error{ExitCode::usage, "--threshold: shorter than the 100us below which a program looks at nothing",
                     "set LOOPWATCH_FLOOR=50us in its environment too"};
    auto hub = output.open(!session.gate.fail_on.empty());
    if (!hub) return hub.error();
    return start(outside, *hub);
}

}  // namespace loopwatch
