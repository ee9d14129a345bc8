// SPDX-License-Identifier: Apache-2.0
#include "daemon/rule_selection.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <iterator>
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
    auto label = [current, index = decision.rule, whole = *whole,
                  environment = read_listed_environment(pid)](const std::vector<ContextAttribute>& context) {
        const auto& of_rule = current->rules.rules()[index];
        LabelSources sources;
        sources.rule_service = of_rule.service;
        sources.rule_version = of_rule.version;
        sources.rule_labels = &of_rule.labels;
        sources.context_service = context_attribute(context, "service.name");
        sources.context_version = context_attribute(context, "service.version");
        sources.context_instance = context_attribute(context, "service.instance.id");
        sources.environment = &environment;
        return target_labels(whole, sources);
    };
    Chosen chosen = {std::make_shared<const TargetLabels>(label({})), decision.rule, false, published_context(pid),
                     label};
    const std::lock_guard lock(mutex_);
    chosen_[static_cast<std::uint32_t>(pid)] = std::move(chosen);
    return TargetChoice{thresholds_of(rule, defaults), rule.coroutines.value_or(defaults.coroutines)};
}

// Asked of the worker before its files are scanned, so that the labels are there once it is attached to.
void RuleSelection::admitted(pid_t pid) const
{
    std::optional<ContextPayload> context;
    const auto key = static_cast<std::uint32_t>(pid);
    {
        const std::lock_guard lock(mutex_);
        if (const auto known = chosen_.find(key); known != chosen_.end())
            context = std::exchange(known->second.context, std::nullopt);
    }
    if (!context || !parse_) return;
    parse_(key, context->bytes,
           [this, key](const std::vector<ContextAttribute>& attributes) { relabel(key, attributes); });
}

void RuleSelection::relabel(std::uint32_t pid, const std::vector<ContextAttribute>& context) const
{
    const std::lock_guard lock(mutex_);
    if (const auto known = chosen_.find(pid); known != chosen_.end())
        known->second.labels = std::make_shared<const TargetLabels>(known->second.label(context));
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

void RuleSelection::prune(const std::function<bool(std::uint32_t pid)>& is_target)
{
    const std::lock_guard lock(mutex_);
    for (auto entry = chosen_.begin(); entry != chosen_.end();) {
        const bool is_missing = !is_target(entry->first);
        const bool was_missing = std::exchange(entry->second.was_missing, is_missing);
        entry = is_missing && was_missing ? chosen_.erase(entry) : std::next(entry);
    }
    std::erase_if(refused_, [](pid_t pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; });
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
