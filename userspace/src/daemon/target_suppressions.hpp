// SPDX-License-Identifier: Apache-2.0
//
// TargetSuppressions: what is not to be reported, by the files of [defaults] for all targets, and by those of a rule
// for the targets that it has chosen.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/suppressions.hpp"
#include "daemon/config.hpp"

namespace loopwatch {

class TargetSuppressions {
public:
    using RuleOf = std::function<std::optional<std::size_t>(std::uint32_t pid)>;
    explicit TargetSuppressions(RuleOf rule_of) : rule_of_(std::move(rule_of)) {}

    // Reads the files, which have been checked: one that cannot be read any more suppresses nothing. `today`:
    // YYYY-MM-DD.
    void read(const Config& config, const std::string& today);
    bool allows(const FindingView& finding);

private:
    RuleOf rule_of_;
    std::vector<Suppressions> of_all_;
    std::vector<std::vector<Suppressions>> of_rules_;
};

}  // namespace loopwatch
