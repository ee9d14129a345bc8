// SPDX-License-Identifier: Apache-2.0
//
// Where the daemon's configuration comes from: --config, --set, and the environment.
#pragma once

#include <string>
#include <vector>

#include "command/option_parser.hpp"
#include "daemon/config.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct ConfigOptions {
    std::string file;  // empty: the default one, which may be missing
    std::vector<ConfigOverride> settings;

    void add(OptionParser& parser);
    // Also looks at the files that the configuration names. What is wrong is in its `problems`.
    LoadedConfig load() const;
    // Prints all problems on stderr, one a line. Fails with ExitCode::usage if there is one.
    static Result<void> report(const LoadedConfig& loaded);
};

}  // namespace loopwatch
