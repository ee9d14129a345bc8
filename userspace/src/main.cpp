// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <system_error>

#include "command/cli.hpp"
#include "command/ending_signals.hpp"
#include "util/descriptor_limit.hpp"
#include "util/log.hpp"

using namespace loopwatch;

int main(int argc, char** argv)
{
    block_ending_signals();
    raise_descriptor_limit();
    const auto failed = [](std::string what, const char* hint) {
        print_error({ExitCode::failed, std::move(what), hint});
        return static_cast<int>(ExitCode::failed);
    };
    try {
        const auto status = run_command_line(argc, argv);
        if (!status) print_error(status.error());
        if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category(), "cannot write to stdout");
        return status ? *status : static_cast<int>(status.error().code);
    } catch (const std::system_error& error) {
        return failed(error.what(), "is the disk full, or the reader gone?");
    } catch (const std::exception& bug) {
        return failed(fmt::format("unexpected: {}", bug.what()), "please report this as a bug");
    }
}
