// SPDX-License-Identifier: Apache-2.0
//
// One load of the configuration, layer by layer: what is set later wins.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/config.hpp"

namespace loopwatch {

class ConfigLoading {
public:
    explicit ConfigLoading(LoadedConfig& loaded) : loaded_(loaded) {}

    void defaults();
    void file(std::string_view text, const std::string& name);
    void environment(const std::vector<std::string>& variables);
    void options(const std::vector<ConfigOverride>& options);
    void problem(ConfigProblem problem) { loaded_.problems.push_back(std::move(problem)); }

private:
    void take(const ConfigProblems& problems);
    void single_section(std::string_view name, const ConfigNode& table, ConfigProblems& problems);
    void set(std::string_view section, const ConfigEntry& entry, std::string origin);
    void set_text(const std::string& key, const std::string& value, const std::string& origin);
    template <class Section>
    void repeated(std::string_view name, const ConfigNode& document, std::vector<Section>& to,
                  ConfigProblems& problems);
    void one_of(const ConfigNode& table, const std::string& path, TargetRule& to, ConfigProblems& problems);
    void one_of(const ConfigNode& table, const std::string& path, SinkSettings& to, ConfigProblems& problems);
    void one_of(const ConfigNode& table, const std::string& path, DumpRule& to, ConfigProblems& problems);

    LoadedConfig& loaded_;
};

}  // namespace loopwatch
