// SPDX-License-Identifier: Apache-2.0
//
// From the words of a command line to the command that they name, with its options set.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "command/command.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct CommandLine {
    std::unique_ptr<Command> command;
    // Help or version: to be printed on stdout instead of anything else, exit status 0.
    std::optional<std::string> text;
};

// Options stand before or behind the command. Fails with ExitCode::usage; `what` names the option and what is wrong
// with it, `hint` what to write.
Result<CommandLine> parse_command_line(int argc, const char* const* argv);
// And runs it; its exit status.
Result<int> run_command_line(int argc, const char* const* argv);

}  // namespace loopwatch
