// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch run -- PROGRAM`: starts a program and watches it, with the kernel side where there is one, else by the
// shim alone.
#pragma once

#include <string>
#include <vector>

#include "command/command.hpp"
#include "command/option_groups.hpp"
#include "command/session_options.hpp"

namespace loopwatch {

class RunCommand : public Command {
public:
    RunCommand();
    void add_options(OptionParser& parser) override;
    // The program's exit status, as run_from_outside() has it.
    Result<int> run() override;

    std::vector<std::string> command_line;  // the program and its arguments
    bool inside = false;                    // without the kernel side, whoever we are
    SessionOptions session;
    OutputOptions output;

private:
    Result<int> start(bool outside, Hub& hub);
};

}  // namespace loopwatch
