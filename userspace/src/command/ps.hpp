// SPDX-License-Identifier: Apache-2.0
//
// `loopwatch ps`, `tree` and `where`: three views of the tasks of a process.
#pragma once

#include <string>

#include "command/command.hpp"
#include "command/task_listing.hpp"

namespace loopwatch {

class ListCommand : public Command {
public:
    Result<int> run() override;
    ListingOptions listing;

protected:
    void add_common_options(OptionParser& parser, const char* usage);
    // Of those that look at all tasks.
    void add_filter_options(OptionParser& parser);
};

class PsCommand : public ListCommand {
public:
    void add_options(OptionParser& parser) override;

private:
    bool max_frame_given_ = false;
};

class TreeCommand : public ListCommand {
public:
    void add_options(OptionParser& parser) override;
};

class WhereCommand : public ListCommand {
public:
    void add_options(OptionParser& parser) override;

private:
    std::string task_;  // as it is shown, "save#17", or its number alone
};

}  // namespace loopwatch
