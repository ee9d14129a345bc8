// SPDX-License-Identifier: Apache-2.0
//
// Completeness: whether a session's report has everything that happened, and if not, why. All losses by name, what
// each is, and what a report with it lacks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "analysis/finding.hpp"

namespace loopwatch {

// What a report with a loss lacks: whole findings, times or counts of those that it has, or only their names, paths and
// stacks.
enum class Lacks { findings, details, names };

struct Loss {
    std::string_view name;
    Lacks lacks;
    std::string_view what;  // after a number: "3 records that …"
};
std::span<const Loss> all_losses();

struct Completeness {
    std::string level = "complete";  // or names_missing, limited, findings_missing, nothing_watched
    std::string reason;              // in one sentence; empty: complete
};

// `lost` and `suppressed` as session_end has them.
Completeness completeness(const Counts& lost, const Counts& suppressed, WarningCounts warnings, bool saw_loop);

}  // namespace loopwatch
