// SPDX-License-Identifier: Apache-2.0
//
// RuleSelection: targets by the configuration's rules. What rules and labels need of a process is read here, on
// threads beside the engine's; rules may be replaced meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "attach/selection.hpp"
#include "attach/target_rules.hpp"
#include "daemon/config.hpp"
#include "stack/process_context.hpp"
#include "target/labels.hpp"

namespace loopwatch {

class RuleSelection final : public Selection {
public:
    explicit RuleSelection(const Config& config);

    void replace(const Config& config);
    // Is watched whatever the rules are, without labels.
    void always(pid_t pid, Thresholds thresholds);
    // Is not watched any more until this is taken back: it costs too much.
    void refuse(pid_t pid);
    void refuse_none();

    // Parses what a process publishes for OpenTelemetry, and hands the attributes over, now or later.
    using Parse = std::function<void(std::uint32_t pid, std::span<const std::byte> payload,
                                     std::function<void(std::vector<ContextAttribute>)> done)>;
    void parse_contexts_by(Parse parse) { parse_ = std::move(parse); }

    std::optional<TargetChoice> choose(pid_t pid) const override;
    void admitted(pid_t pid) const override;
    std::uint64_t min_age_ns() const override;

    // Of one that was chosen; null, and none: it was not.
    std::shared_ptr<const TargetLabels> labels_of(std::uint32_t pid) const;
    std::optional<std::size_t> rule_of(std::uint32_t pid) const;
    // To be called now and then: those that were no targets the last time either are forgotten.
    void prune(const std::function<bool(std::uint32_t pid)>& is_target);

private:
    struct Rules {
        TargetRules rules;
        DefaultSettings defaults;
    };
    std::shared_ptr<const Rules> rules() const;
    void relabel(std::uint32_t pid, const std::vector<ContextAttribute>& context) const;

    Parse parse_;

    mutable std::mutex mutex_;  // of all of these, held for a moment
    std::shared_ptr<const Rules> rules_;
    std::map<pid_t, Thresholds> always_;
    std::set<pid_t> refused_;
    struct Chosen {
        std::shared_ptr<const TargetLabels> labels;
        std::size_t rule = 0;
        bool was_missing = false;               // when prune() looked last
        std::optional<ContextPayload> context;  // until it is parsed
        std::function<TargetLabels(const std::vector<ContextAttribute>&)> label;
    };
    mutable std::map<std::uint32_t, Chosen> chosen_;
};

// The least that any target of the configuration has: what the kernel side looks up nothing below.
Thresholds least_thresholds(const Config& config);

}  // namespace loopwatch
