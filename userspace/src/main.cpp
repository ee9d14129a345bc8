// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>

#include "command/cli.hpp"
#include "command/ending_signals.hpp"
#include "command/outside_run.hpp"
#include "command/preflight.hpp"
#include "command/session.hpp"
#include "command/shim_session.hpp"
#include "command/task_listing.hpp"
#include "output/schema.hpp"
#include "util/descriptor_limit.hpp"
#include "util/log.hpp"

namespace loopwatch {

namespace {

Result<ExitCode> watch(Options options)
{
    auto session_options = session_options_of(options);
    if (!session_options) return session_options.error();
    if (auto machine = preflight(); !machine) return machine.error();
    auto output = Output::open(options.output);
    if (!output) return output.error();
    const auto sink = sink_of(options, *output);
    auto session = Session::open(std::move(*session_options), *sink);
    if (!session) return session.error();
    auto code = (*session)->run();
    if (auto settled = output->settle(); code && !settled) return settled.error();
    return code;
}

// With the kernel side where there is one, else by the shim alone.
Result<int> start(Options options)
{
    const auto machine = preflight();
    const bool outside = machine.has_value() && !options.inside;
    if (!outside && (options.trace || options.debug || options.coroutines || options.kernel_stacks))
        return Error{ExitCode::not_permitted,
                     "--trace, --debug, --coroutines and --kernel-stacks need the kernel side: " + machine.error().what,
                     machine.error().hint};
    auto session_options = session_options_of(options);
    if (!session_options) return session_options.error();
    auto output = Output::open(options.output);
    if (!output) return output.error();
    const auto sink = sink_of(options, *output);
    constexpr std::uint64_t default_floor_ns = 100'000;
    if (session_options->threshold_ns < default_floor_ns && std::getenv("LOOPWATCH_FLOOR") == nullptr)
        return Error{ExitCode::usage, "--threshold: shorter than the 100us below which a program looks at nothing",
                     "set LOOPWATCH_FLOOR=50us in its environment too"};
    const auto run = [&]() -> Result<int> {
        if (outside) return run_from_outside(std::move(*session_options), options.command_line, *sink);
        auto session = ShimSession::open(std::move(*session_options), std::move(options.command_line), *sink);
        if (!session) return session.error();
        return (*session)->run();
    };
    auto status = run();
    if (auto settled = output->settle(); status && !settled) return settled.error();
    return status;
}

Result<int> as_status(const Result<ExitCode>& code)
{
    if (!code) return code.error();
    return static_cast<int>(*code);
}

Result<int> run(int argc, char** argv)
{
    auto line = parse_command_line(argc, argv);
    if (!line) return line.error();
    if (line->text) {
        fmt::print("{}", *line->text);
        return 0;
    }
    switch (line->options.command) {
        case Command::schema: fmt::print("{}\n", output_schema()); return 0;
        case Command::doctor: return static_cast<int>(doctor(line->options.pids));
        case Command::run: return start(std::move(line->options));
        case Command::ps:
        case Command::tree:
        case Command::where: return as_status(list_tasks(line->options));
        case Command::watch: break;
    }
    return as_status(watch(std::move(line->options)));
}

}  // namespace

}  // namespace loopwatch

int main(int argc, char** argv)
{
    loopwatch::block_ending_signals();
    loopwatch::raise_descriptor_limit();
    try {
        const auto code = loopwatch::run(argc, argv);
        if (!code) loopwatch::print_error(code.error());
        if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "cannot write to stdout");
        return code ? *code : static_cast<int>(code.error().code);
    } catch (const std::system_error& error) {
        loopwatch::print_error({loopwatch::ExitCode::failed, error.what(), "is the disk full, or the reader gone?"});
        return static_cast<int>(loopwatch::ExitCode::failed);
    } catch (const std::exception& bug) {
        loopwatch::print_error(
            {loopwatch::ExitCode::failed, fmt::format("unexpected: {}", bug.what()), "please report this as a bug"});
        return static_cast<int>(loopwatch::ExitCode::failed);
    }
}
