// SPDX-License-Identifier: Apache-2.0
#include "output/schema.hpp"

#include <fmt/format.h>

#include "command/command.hpp"

namespace loopwatch {

namespace {

class SchemaCommand : public Command {
public:
    void add_options(OptionParser&) override {}
    Result<int> run() override
    {
        fmt::print("{}\n", output_schema());
        return 0;
    }
};

}  // namespace

std::unique_ptr<Command> make_schema()
{
    return std::make_unique<SchemaCommand>();
}

}  // namespace loopwatch
