// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <string>

#include "command/command.hpp"
#include "command/config_options.hpp"
#include "daemon/config_text.hpp"

namespace loopwatch {

namespace {

class ConfigCommand : public Command {
public:
    void add_options(OptionParser& parser) override
    {
        parser.word("what", what_, "check|reference");
        config_.add(parser);
        parser.value("--format", choice_value<bool>(json_, {{"text", false}, {"json", true}}),
                     "check: TOML with comments, or JSON", "text|json");
        parser.check([this]() -> std::optional<Error> {
            if (what_ == "check" || what_ == "reference") return std::nullopt;
            return Error{ExitCode::usage,
                         what_.empty() ? "config: nothing to do" : fmt::format("config: \"{}\" is unknown", what_),
                         "loopwatch config check, or loopwatch config reference"};
        });
    }
    Result<int> run() override
    {
        if (what_ == "reference") {
            fmt::print("{}", config_reference());
            return 0;
        }
        const auto loaded = config_.load();
        if (auto right = ConfigOptions::report(loaded); !right) return right.error();
        fmt::print("{}", json_ ? effective_json(loaded.settings) + "\n" : effective_text(loaded.settings));
        return 0;
    }

private:
    std::string what_;
    ConfigOptions config_;
    bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_config()
{
    return std::make_unique<ConfigCommand>();
}

}  // namespace loopwatch
