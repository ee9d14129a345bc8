// SPDX-License-Identifier: Apache-2.0
//
// What the daemon is to do: read from a file, the environment and options, each value with where it came from. The
// keys, their types, defaults and documentation are one table (config_keys.cpp). A configuration with an error is none:
// the daemon does not start with it, or goes on with the one it has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attach/target_rules.hpp"
#include "daemon/config_node.hpp"

namespace loopwatch {

// [limits]
struct LimitSettings {
    double cpu_percent = 0;                     // of one CPU: loopwatch, its kernel side and the traps in targets
    std::uint64_t memory_bytes = 0;             // of all its processes and maps
    std::uint64_t journal_bytes = 0;            // on disk
    std::uint64_t journal_age_ns = 0;           // after which a segment is removed
    std::uint32_t loops = 0, targets = 0;       // watched at a time
    double findings_rate = 0;                   // a second, in the long run
    std::uint32_t findings_burst = 0;           // at once
    std::uint64_t fingerprint_interval_ns = 0;  // between two findings of one fingerprint
    std::uint32_t fingerprints = 0;             // of a service; more are counted together

    bool operator==(const LimitSettings&) const = default;
};

// [defaults]: of each target that its rule does not set.
struct DefaultSettings {
    std::uint64_t threshold_ns = 0, block_threshold_ns = 0;
    std::uint64_t interval_ns = 0;  // between statistics
    std::uint64_t min_age_ns = 0;   // before symbols are read and probes attached
    std::vector<std::string> suppressions;
    bool coroutines = false, kernel_stacks = false, follow_children = false;
    bool deny_agents = false;

    bool operator==(const DefaultSettings&) const = default;
};

// [paths]
struct PathSettings {
    std::string state, run;

    bool operator==(const PathSettings&) const = default;
};

// [[sink]]: where findings and statistics are delivered to.
struct SinkSettings {
    std::string type;                                          // a row of the table of sink types
    std::vector<std::pair<std::string, std::string>> options;  // keys of its type, each once

    std::string_view option(std::string_view name) const;  // empty: not set
    bool operator==(const SinkSettings&) const = default;
};

// [[dump]]: what was recorded last is kept when something takes long.
struct DumpRule {
    enum class Subject { hold, block } subject = Subject::hold;  // of the loop by a callback; a single blocking call
    std::uint64_t longer_than_ns = 0;
    std::uint32_t keep = 0;  // dumps; the oldest gives way

    bool operator==(const DumpRule&) const = default;
};

struct Config {
    LimitSettings limits;
    DefaultSettings defaults;
    PathSettings paths;
    std::vector<TargetRule> targets;
    std::vector<SinkSettings> sinks;
    std::vector<DumpRule> dumps;

    bool operator==(const Config&) const = default;
};

// One value in force. `origin`: "FILE:12:3", "env LOOPWATCH_LIMITS_CPU", "default", "--set limits.cpu".
struct Setting {
    std::string section;               // "limits", "target"
    std::optional<std::size_t> index;  // of a section that there may be several of
    std::string name;                  // "cpu"
    ConfigNode value;
    std::string origin;

    std::string key() const;  // "limits.cpu", "target[0].threshold"
};

// At most 1 MiB of a regular file. Empty: `problem` has why.
std::optional<std::string> read_config_file(const std::string& path, ConfigProblem& problem);

struct LoadedConfig {
    Config config;
    std::vector<Setting> settings;        // all of the single sections, and what is set of the others
    std::vector<ConfigProblem> problems;  // if there is one, `config` is not to be used
};

// A value that was given outside the file.
struct ConfigOverride {
    std::string key, value;  // "limits.cpu", "2%"
    std::string origin;      // "--set limits.cpu", "--threshold"
};

struct ConfigSources {
    std::string file;  // empty: none
    // The options of the command line, which win over all else.
    std::vector<ConfigOverride> options;
    // "NAME=value", as environ(7) has them: those that begin with LOOPWATCH_LIMITS_, LOOPWATCH_DEFAULTS_ and
    // LOOPWATCH_PATHS_ count, and win over the file.
    std::vector<std::string> environment;
};

inline constexpr const char* default_config_file = "/etc/loopwatch/loopwatch.toml";

// All errors of all sources at once. A file that cannot be read, or is larger than 1 MiB, is one.
LoadedConfig load_config(const ConfigSources& sources);
// The same with the file's text at hand; `name`: what errors call it.
LoadedConfig parse_config(std::string_view text, const std::string& name, const ConfigSources& sources = {});

// Looks at the files that a configuration names: adds a problem for each file of suppressions that cannot be read, or
// has an error. `today`: YYYY-MM-DD.
void check_named_files(LoadedConfig& loaded, std::string_view today);

// What a reload changes, a line each: limits.cpu = "1%" -> "2%".
std::vector<std::string> config_changes(const std::vector<Setting>& before, const std::vector<Setting>& after);

}  // namespace loopwatch
