// SPDX-License-Identifier: Apache-2.0
#include "command/command.hpp"
#include "command/option_groups.hpp"
#include "command/preflight.hpp"

namespace loopwatch {

namespace {

class DoctorCommand : public Command {
public:
    void add_options(OptionParser& parser) override { processes_.add(parser, nullptr); }
    Result<int> run() override
    {
        if (processes_.pids.empty() && processes_.name.empty()) return static_cast<int>(doctor({}));
        const auto pids = processes_.find();
        if (!pids) return pids.error();
        return static_cast<int>(doctor(*pids));
    }

private:
    ProcessOptions processes_;
};

}  // namespace

std::unique_ptr<Command> make_doctor()
{
    return std::make_unique<DoctorCommand>();
}

}  // namespace loopwatch
