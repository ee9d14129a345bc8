// SPDX-License-Identifier: Apache-2.0
//
// From what was written to what is meant: one function a type of values. Each leaves `to` alone if the value is bad,
// and adds a problem at the value's place.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attach/target_rules.hpp"
#include "daemon/config.hpp"
#include "daemon/config_node.hpp"

namespace loopwatch {

struct NumberRange {
    double least = 0, most = 0;
};

void read_duration(const ConfigNode& node, std::uint64_t least_ns, std::uint64_t& to, ConfigProblems& problems);
void read_size(const ConfigNode& node, std::uint64_t least_bytes, std::uint64_t& to, ConfigProblems& problems);
void read_percentage(const ConfigNode& node, NumberRange range, double& to, ConfigProblems& problems);
void read_number(const ConfigNode& node, NumberRange range, double& to, ConfigProblems& problems);
void read_count(const ConfigNode& node, NumberRange range, std::uint32_t& to, ConfigProblems& problems);
void read_boolean(const ConfigNode& node, bool& to, ConfigProblems& problems);
// At most 256 bytes, and not empty.
void read_text(const ConfigNode& node, std::string& to, ConfigProblems& problems);
// Absolute: a daemon's current directory is no place.
void read_path(const ConfigNode& node, std::string& to, ConfigProblems& problems);
void read_paths(const ConfigNode& node, std::vector<std::string>& to, ConfigProblems& problems);
// A secret by its place, "env:NAME" or a file: it is looked at, and not kept (secret.hpp).
void read_secret_place(const ConfigNode& node, std::string& to, ConfigProblems& problems);

// One, or a list of them.
void read_globs(const ConfigNode& node, std::vector<std::string>& to, ConfigProblems& problems);
void read_expressions(const ConfigNode& node, std::vector<SearchPattern>& to, ConfigProblems& problems);
void read_users(const ConfigNode& node, std::vector<std::string>& to, ConfigProblems& problems);
void read_ports(const ConfigNode& node, std::vector<std::uint16_t>& to, ConfigProblems& problems);

// {team = "shop"}: names as Prometheus has them, at most 16.
void read_labels(const ConfigNode& node, LabelList& to, ConfigProblems& problems);
// "hold > 2s"
void read_dump_condition(const ConfigNode& node, DumpRule& to, ConfigProblems& problems);

}  // namespace loopwatch
