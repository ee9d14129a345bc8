// SPDX-License-Identifier: Apache-2.0
//
// A value of the configuration as it was written, with its place in the file, and what is wrong with one. Only
// config_toml.cpp sees toml++, which takes seconds to compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace loopwatch {

// From 1 on; zeros: not from a file.
struct ConfigPosition {
    std::uint32_t line = 0, column = 0;

    auto operator<=>(const ConfigPosition&) const = default;
};

struct ConfigEntry;

struct ConfigNode {
    enum class Kind { text, integer, real, boolean, time, array, table };

    Kind kind = Kind::text;
    ConfigPosition at;
    std::string text;  // of a text
    std::int64_t integer = 0;
    double real = 0;
    bool boolean = false;
    std::vector<ConfigNode> items;     // of an array
    std::vector<ConfigEntry> entries;  // of a table, in the order of the file
};

struct ConfigEntry {
    std::string name;
    ConfigPosition at;  // of the name
    ConfigNode value;
};

// "a text", "an integer", as errors name it.
std::string_view kind_name(const ConfigNode& node);
// As TOML has it on one line: "1%", 1024, ["a", "b"], {exe = "x"}.
std::string toml_text(const ConfigNode& node);
// "text" with TOML's escapes.
std::string toml_quoted(std::string_view text);
// A name, quoted where TOML wants that.
std::string toml_name(std::string_view name);

struct ConfigProblem {
    std::string where;  // "/etc/loopwatch/loopwatch.toml:12:3", "env LOOPWATCH_LIMITS_CPU", "--set limits.cpu"
    std::string what, hint;

    std::string line() const;  // "WHERE: WHAT (HINT)"
};

// All that is wrong with one source.
class ConfigProblems {
public:
    explicit ConfigProblems(std::string source) : source_(std::move(source)) {}

    // `what` follows the key that is being read: "limits.cpu" + "is empty".
    void add(ConfigPosition at, std::string what, std::string hint = {});
    // The key that is read from now on, "limits.cpu"; empty: none.
    void set_key(std::string key) { key_ = std::move(key); }
    const std::string& key() const noexcept { return key_; }
    void add_all(const ConfigProblems& others);
    bool empty() const noexcept { return all_.empty(); }
    const std::vector<ConfigProblem>& all() const noexcept { return all_; }
    std::string where(ConfigPosition at) const;

private:
    // A file of 1 MiB may have a hundred thousand errors: who mends the first hundred sees the rest.
    static constexpr std::size_t most_problems = 100;
    std::string source_, key_;
    std::vector<ConfigProblem> all_;
    std::size_t left_out_ = 0;
};

// The table of a whole document. Empty, with one problem, if it is no TOML: the parser stops at the first error of
// syntax.
ConfigNode parse_toml(std::string_view text, ConfigProblems& problems);

}  // namespace loopwatch
