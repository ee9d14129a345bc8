// SPDX-License-Identifier: Apache-2.0
#include "daemon/target_suppressions.hpp"

#include <algorithm>

namespace loopwatch {

namespace {

std::vector<Suppressions> read_suppressions(const std::vector<std::string>& paths, const std::string& today)
{
    std::vector<Suppressions> all;
    for (const auto& path : paths) {
        ConfigProblem unreadable;
        std::optional<Suppressions::Problem> wrong;
        if (const auto text = read_config_file(path, unreadable))
            all.push_back(Suppressions::parse(*text, today, wrong));
    }
    return all;
}

}  // namespace

void TargetSuppressions::read(const Config& config, const std::string& today)
{
    of_all_ = read_suppressions(config.defaults.suppressions, today);
    of_rules_.clear();
    for (const auto& rule : config.targets) of_rules_.push_back(read_suppressions(rule.suppressions, today));
}

bool TargetSuppressions::allows(const FindingView& finding)
{
    const auto by = [&](Suppressions& one) { return one.allows(finding); };
    if (std::ranges::any_of(of_all_, by)) return true;
    const auto rule = finding.incident ? rule_of_(finding.incident->pid) : std::nullopt;
    return rule && *rule < of_rules_.size() && std::ranges::any_of(of_rules_[*rule], by);
}

}  // namespace loopwatch
