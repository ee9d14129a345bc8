// SPDX-License-Identifier: Apache-2.0
//
// Which processes are targets: ordered rules over what is known of a process, of which the first that matches decides.
// Pure: the caller reads the identity, and of it only the fields that a rule needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "target/labels.hpp"
#include "target/process_identity.hpp"
#include "util/result.hpp"

namespace loopwatch {

// A regular expression that is searched for in texts of other processes, in time that grows with the text alone.
class SearchPattern {
public:
    // Fails with ExitCode::usage: what is wrong with it.
    static Result<SearchPattern> parse(std::string_view expression);
    bool found_in(std::string_view text) const;
    const std::string& text() const noexcept { return text_; }
    bool operator==(const SearchPattern& other) const { return text_ == other.text_; }

private:
    struct Compiled;
    std::string text_;
    std::shared_ptr<const Compiled> compiled_;
};

// Conditions, all of which must hold; each by any of its values. One without values always holds.
struct TargetMatch {
    std::vector<std::string> exe = {}, comm = {};                 // globs (util/glob.hpp)
    std::vector<SearchPattern> cmdline = {};                      // arguments, with a space between them
    std::vector<std::string> cgroup = {}, unit = {}, image = {};  // globs; unit: also without its ".service"; image:
                                                                  // also the container's id
    std::vector<std::string> user = {};                           // names or numbers
    std::vector<std::uint16_t> port = {};                         // on which it listens

    IdentityFields needs() const;
    bool matches(const ProcessIdentity& identity) const;
    bool operator==(const TargetMatch&) const = default;
};

// A [[target]] of the configuration. What is not set is as [defaults] has it.
struct TargetRule {
    TargetMatch match;
    bool deny = false;
    std::optional<std::uint64_t> threshold_ns, block_threshold_ns;
    std::optional<bool> coroutines;
    std::vector<std::string> suppressions;  // files; beside those of [defaults]
    LabelList labels;
    std::string service, version;  // empty: found out (target/labels.hpp)

    bool operator==(const TargetRule&) const = default;
};

class TargetRules {
public:
    // `deny_agents`: processes that observe others are denied before the rules are looked at. loopwatch itself always.
    explicit TargetRules(std::vector<TargetRule> rules, bool deny_agents = true);

    struct Decision {
        enum class Kind { no_rule, watch, deny, deny_agent } kind = Kind::no_rule;
        std::size_t rule = 0;  // with watch and deny: its index
    };
    Decision decide(const ProcessIdentity& identity) const;

    // What decide() looks at: the rest need not be read.
    IdentityFields needs() const noexcept { return needs_; }
    const std::vector<TargetRule>& rules() const noexcept { return rules_; }

private:
    std::vector<TargetRule> rules_;
    bool deny_agents_;
    IdentityFields needs_;
};

// Programs that observe others, as globs over the path of the executable.
const std::vector<std::string_view>& known_agents();

}  // namespace loopwatch
