// SPDX-License-Identifier: Apache-2.0
//
// The one table of keys: what parsing, errors about unknown keys, the names in the environment, `config check` and the
// reference are made of. A new key is a member of its section in config.hpp and one row here.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config.hpp"
#include "daemon/config_values.hpp"

namespace loopwatch {

struct KeyRow {
    std::string_view name, type;
    std::string_view fallback;  // in TOML; empty: unset
    std::string_view doc;       // one sentence
    bool required = false;
};

template <class Section>
struct ConfigKey : KeyRow {
    std::function<void(Section&, const ConfigNode&, ConfigProblems&)> store;
};

template <class Section>
std::span<const ConfigKey<Section>> keys_of();
template <>
std::span<const ConfigKey<LimitSettings>> keys_of();
template <>
std::span<const ConfigKey<DefaultSettings>> keys_of();
template <>
std::span<const ConfigKey<PathSettings>> keys_of();
template <>
std::span<const ConfigKey<TargetMatch>> keys_of();
template <>
std::span<const ConfigKey<TargetRule>> keys_of();
template <>
std::span<const ConfigKey<DumpRule>> keys_of();

// A type of sink. What it is made of and does is the daemon's; its keys beside `type` are these. Their values are kept
// as texts, which `check` has looked at.
struct SinkKey : KeyRow {
    void (*check)(const ConfigNode& node, ConfigProblems& problems);
};
struct SinkType {
    std::string_view name, doc;
    std::span<const SinkKey> keys;
};
std::span<const SinkType> sink_types();

// For errors and documentation.
struct SectionRow {
    std::string_view name, doc;
    bool repeated = false;  // [[target]]
    std::vector<KeyRow> keys;
};
const std::vector<SectionRow>& config_sections();

// "did you mean threshold?", or all there are.
std::string nearest_hint(std::string_view word, const std::vector<std::string_view>& names);

// Rows of fallbacks as a table, each without a place.
ConfigNode fallback_table(std::span<const KeyRow> rows);

// Stores what a table has, and adds a problem for each key that is unknown, missing or bad. `path`: "limits".
template <class Section>
void read_keys(const ConfigNode& table, const std::string& path, Section& to, ConfigProblems& problems);

// A table by its rows: `store` is called for each entry that has one, with its row's place.
void read_rows(const ConfigNode& table, const std::string& path, std::span<const KeyRow> rows, ConfigProblems& problems,
               const std::function<void(std::size_t row, const ConfigNode& value)>& store);

template <class Section>
void read_keys(const ConfigNode& table, const std::string& path, Section& to, ConfigProblems& problems)
{
    const auto keys = keys_of<Section>();
    const std::vector<KeyRow> rows(keys.begin(), keys.end());
    read_rows(table, path, rows, problems,
              [&](std::size_t row, const ConfigNode& value) { keys[row].store(to, value, problems); });
}

}  // namespace loopwatch
