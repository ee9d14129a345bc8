// SPDX-License-Identifier: Apache-2.0
#include "command/config_options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <optional>

#include "util/text.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

void ConfigOptions::add(OptionParser& parser)
{
    parser.value("--config", text_value(file, "the name of a file"),
                 fmt::format("The configuration ({}, if it exists)", default_config_file), "FILE");
    parser.repeated(
        "--set",
        [this](const std::string& text) -> std::optional<BadValue> {
            const auto equals = text.find('=');
            if (equals == std::string::npos || equals == 0)
                return BadValue{fmt::format("bad value \"{}\"", text), "write it as limits.cpu=2%"};
            const auto key = text.substr(0, equals);
            settings.push_back({key, text.substr(equals + 1), "--set " + key});
            return std::nullopt;
        },
        "One value instead of the configuration's: limits.cpu=2%; repeatable", "KEY=VALUE");
}

LoadedConfig ConfigOptions::load() const
{
    ConfigSources sources{file, settings, {}};
    if (file.empty() && ::access(default_config_file, F_OK) == 0) sources.file = default_config_file;
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable)
        sources.environment.emplace_back(*variable);
    auto loaded = load_config(sources);
    check_named_files(loaded, today());
    return loaded;
}

Result<void> ConfigOptions::report(const LoadedConfig& loaded)
{
    if (loaded.problems.empty()) return {};
    for (const auto& problem : loaded.problems) fmt::print(stderr, "{}\n", escape_terminal(problem.line()));
    return Error{ExitCode::usage, fmt::format("the configuration has {}", counted(loaded.problems.size(), "error")),
                 "see above"};
}

}  // namespace loopwatch
