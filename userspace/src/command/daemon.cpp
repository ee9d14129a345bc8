// SPDX-License-Identifier: Apache-2.0
#include "command/command.hpp"
#include "command/config_options.hpp"
#include "command/daemon_service.hpp"

namespace loopwatch {

namespace {

class DaemonCommand : public Command {
public:
    void add_options(OptionParser& parser) override
    {
        config_.add(parser);
        parser.value("--canary-period", duration_value(canary_.period_ns, "s", 1'000'000'000), "",
                     "TIME");  // for tests
    }
    Result<int> run() override
    {
        auto loaded = config_.load();
        if (auto right = ConfigOptions::report(loaded); !right) return right.error();
        auto service = DaemonService::open(config_, std::move(loaded), canary_);
        if (!service) return service.error();
        const auto code = (*service)->run();
        if (!code) return code.error();
        return static_cast<int>(*code);
    }

private:
    ConfigOptions config_;
    CanaryTimes canary_;
};

}  // namespace

std::unique_ptr<Command> make_daemon()
{
    return std::make_unique<DaemonCommand>();
}

}  // namespace loopwatch
