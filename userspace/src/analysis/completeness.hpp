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

struct Loss {
    std::string_view name;
    bool of_findings;       // whole findings may be missing; else only details of them
    std::string_view what;  // after a number: "3 records that …"
};
std::span<const Loss> all_losses();

struct Completeness {
    std::string level = "complete";  // or limited, findings_missing, nothing_watched
    std::string reason;              // in one sentence; empty: complete
};

// `lost` and `suppressed` as session_end has them; `warnings`: how many say what could not be seen.
Completeness completeness(const Counts& lost, const Counts& suppressed, std::uint64_t warnings, bool saw_loop);

}  // namespace loopwatch
