// SPDX-License-Identifier: Apache-2.0
#include "daemon/rule_selection.hpp"

#include <algorithm>
#include <utility>

#include "attach/published_context.hpp"
#include "stack/process_context.hpp"
#include "target/process_identity.hpp"

namespace loopwatch {

namespace {

Thresholds thresholds_of(const TargetRule& rule, const DefaultSettings& defaults)
{
    return {rule.threshold_ns.value_or(defaults.threshold_ns),
            rule.block_threshold_ns.value_or(defaults.block_threshold_ns)};
}

}  // namespace

RuleSelection::RuleSelection(const Config& config)
{
    replace(config);
}

void RuleSelection::replace(const Config& config)
{
    auto rules =
        std::make_shared<const Rules>(Rules{TargetRules(config.targets, config.defaults.deny_agents), config.defaults});
    const std::lock_guard lock(mutex_);
    rules_ = std::move(rules);
}

void RuleSelection::always(pid_t pid, Thresholds thresholds)
{
    const std::lock_guard lock(mutex_);
    always_[pid] = thresholds;
}

void RuleSelection::refuse(pid_t pid)
{
    const std::lock_guard lock(mutex_);
    refused_.insert(pid);
}

void RuleSelection::refuse_none()
{
    const std::lock_guard lock(mutex_);
    refused_.clear();
}

std::shared_ptr<const RuleSelection::Rules> RuleSelection::rules() const
{
    const std::lock_guard lock(mutex_);
    return rules_;
}

std::uint64_t RuleSelection::min_age_ns() const
{
    return rules()->defaults.min_age_ns;
}

std::optional<TargetChoice> RuleSelection::choose(pid_t pid) const
{
    {
        const std::lock_guard lock(mutex_);
        if (const auto known = always_.find(pid); known != always_.end()) return TargetChoice{known->second, false};
        if (refused_.contains(pid)) return std::nullopt;
    }
    const auto current = rules();
    const auto& [rules, defaults] = *current;
    const auto identity = read_identity(pid, rules.needs());
    if (!identity) return std::nullopt;
    const auto decision = rules.decide(*identity);
    if (decision.kind != TargetRules::Decision::Kind::watch) return std::nullopt;
    const auto& rule = rules.rules()[decision.rule];
    const auto whole = read_identity(pid, IdentityFields::all());
    if (!whole || whole->start_time != identity->start_time) return std::nullopt;
    const auto environment = read_listed_environment(pid);
    LabelSources sources;
    sources.rule_service = rule.service;
    sources.rule_version = rule.version;
    sources.rule_labels = &rule.labels;
    sources.environment = &environment;
    auto labels = std::make_shared<const TargetLabels>(target_labels(*whole, sources));
    const std::lock_guard lock(mutex_);
    chosen_[static_cast<std::uint32_t>(pid)] = {std::move(labels), decision.rule};
    return TargetChoice{thresholds_of(rule, defaults), rule.coroutines.value_or(defaults.coroutines)};
}

std::shared_ptr<const TargetLabels> RuleSelection::labels_of(std::uint32_t pid) const
{
    const std::lock_guard lock(mutex_);
    const auto known = chosen_.find(pid);
    return known == chosen_.end() ? nullptr : known->second.labels;
}

std::optional<std::size_t> RuleSelection::rule_of(std::uint32_t pid) const
{
    const std::lock_guard lock(mutex_);
    const auto known = chosen_.find(pid);
    return known == chosen_.end() ? std::nullopt : std::optional(known->second.rule);
}

void RuleSelection::forget(std::uint32_t pid)
{
    const std::lock_guard lock(mutex_);
    chosen_.erase(pid);
    refused_.erase(static_cast<pid_t>(pid));
}

Thresholds least_thresholds(const Config& config)
{
    Thresholds least = {config.defaults.threshold_ns, config.defaults.block_threshold_ns};
    for (const auto& rule : config.targets) {
        if (rule.deny) continue;
        const auto of_rule = thresholds_of(rule, config.defaults);
        least.slow_ns = std::min(least.slow_ns, of_rule.slow_ns);
        least.block_ns = std::min(least.block_ns, of_rule.block_ns);
    }
    return least;
}

}  // namespace loopwatch
