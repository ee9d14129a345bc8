// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>

#include "cli.hpp"
#include "output/schema.hpp"
#include "session/ending_signals.hpp"
#include "session/preflight.hpp"
#include "session/session.hpp"
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
    return (*session)->run();
}

Result<ExitCode> run(int argc, char** argv)
{
    auto line = parse_command_line(argc, argv);
    if (!line) return line.error();
    if (line->text) {
        fmt::print("{}", *line->text);
        return ExitCode::done;
    }
    switch (line->options.command) {
        case Command::schema: fmt::print("{}\n", output_schema().dump(2)); return ExitCode::done;
        case Command::doctor: return doctor(line->options.pids);
        case Command::watch: break;
    }
    return watch(std::move(line->options));
}

}  // namespace

}  // namespace loopwatch

int main(int argc, char** argv)
{
    loopwatch::block_ending_signals();
    try {
        const auto code = loopwatch::run(argc, argv);
        if (!code) loopwatch::print_error(code.error());
        if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "cannot write to stdout");
        return static_cast<int>(code ? *code : code.error().code);
    } catch (const std::system_error& error) {
        loopwatch::print_error({loopwatch::ExitCode::failed, error.what(), "is the disk full, or the reader gone?"});
        return static_cast<int>(loopwatch::ExitCode::failed);
    } catch (const std::exception& bug) {
        loopwatch::print_error(
            {loopwatch::ExitCode::failed, fmt::format("unexpected: {}", bug.what()), "please report this as a bug"});
        return static_cast<int>(loopwatch::ExitCode::failed);
    }
}
