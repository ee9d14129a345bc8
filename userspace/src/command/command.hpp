// SPDX-License-Identifier: Apache-2.0
//
// A subcommand: one file, and one row of LW_COMMANDS.
#pragma once

#include <memory>
#include <span>

#include "command/option_parser.hpp"
#include "util/result.hpp"

namespace loopwatch {

class Command {
public:
    Command() = default;
    Command(const Command&) = delete;
    Command& operator=(const Command&) = delete;
    virtual ~Command() = default;

    // Names the command's options; what they are given is kept in the command.
    virtual void add_options(OptionParser& parser) = 0;
    // Once they were parsed. The exit status of loopwatch.
    virtual Result<int> run() = 0;
};

// X(name, what --help says of it). The first is the default.
#define LW_COMMANDS(X)                                                              \
    X(watch, "Report what blocks the loops of a process (the default)")             \
    X(doctor, "Say what works here and what does not")                              \
    X(schema, "Print the JSON Schema of the ndjson output")                         \
    X(ps, "List the tasks of a process")                                            \
    X(tree, "Show the await tree of its tasks")                                     \
    X(where, "Show everything known about one task")                                \
    X(run, "Start a program with the shim in it, and report what blocks its loops") \
    X(config, "Check the configuration of the daemon, or list its keys")            \
    X(daemon, "Watch what the rules of a configuration choose, always")             \
    X(status, "Show the state of the running daemon")                               \
    X(targets, "List the processes that the daemon watches")                        \
    X(reload, "Have the daemon read its configuration again")                       \
    X(dump, "Write what the daemon has recorded in the last minutes")

#define X(name, help) std::unique_ptr<Command> make_##name();
LW_COMMANDS(X)
#undef X

struct CommandRow {
    const char *name, *help;
    std::unique_ptr<Command> (*make)();
};
std::span<const CommandRow> commands();

}  // namespace loopwatch
