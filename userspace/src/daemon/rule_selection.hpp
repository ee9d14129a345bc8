// SPDX-License-Identifier: Apache-2.0
//
// RuleSelection: targets by the configuration's rules. What rules and labels need of a process is read here, on
// threads beside the engine's; rules may be replaced meanwhile.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "attach/selection.hpp"
#include "attach/target_rules.hpp"
#include "daemon/config.hpp"
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

    std::optional<TargetChoice> choose(pid_t pid) const override;
    std::uint64_t min_age_ns() const override;

    // Of one that was chosen; null, and none: it was not.
    std::shared_ptr<const TargetLabels> labels_of(std::uint32_t pid) const;
    std::optional<std::size_t> rule_of(std::uint32_t pid) const;
    void forget(std::uint32_t pid);

private:
    struct Rules {
        TargetRules rules;
        DefaultSettings defaults;
    };
    std::shared_ptr<const Rules> rules() const;

    mutable std::mutex mutex_;  // of all of these, held for a moment
    std::shared_ptr<const Rules> rules_;
    std::map<pid_t, Thresholds> always_;
    std::set<pid_t> refused_;
    struct Chosen {
        std::shared_ptr<const TargetLabels> labels;
        std::size_t rule = 0;
    };
    mutable std::map<std::uint32_t, Chosen> chosen_;
};

// The least that any target of the configuration has: what the kernel side looks up nothing below.
Thresholds least_thresholds(const Config& config);

}  // namespace loopwatch
