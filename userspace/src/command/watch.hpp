// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch -p PID`: a session of processes that run already.
#pragma once

#include "command/command.hpp"
#include "command/option_groups.hpp"
#include "command/session_options.hpp"

namespace loopwatch {

class WatchCommand : public Command {
public:
    void add_options(OptionParser& parser) override;
    Result<int> run() override;

    ProcessOptions processes;
    bool wait = false;  // until there is one of --name
    SessionOptions session;
    OutputOptions output;
};

}  // namespace loopwatch
