// SPDX-License-Identifier: Apache-2.0
//
// What a gate reads before a session and writes after it.
#pragma once

#include <string>
#include <vector>

#include "analysis/completeness.hpp"
#include "analysis/gate.hpp"
#include "output/gate_report.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct GateOptions {
    std::vector<FailOn> fail_on;
    std::string suppressions, baseline, write_baseline;  // files; empty: none
    std::vector<ReportWish> reports;
};

// Fails with `usage` and the place of what is wrong: "rules.txt:3:7: …".
Result<Gate> open_gate(const GateOptions& options);
// Writes reports and baseline, says on stderr how often each rule was hit and which never, what failed, and whether
// findings may be missing. `name`: of what was watched.
Result<void> close_gate(const GateOptions& options, const Gate& gate, const std::string& name,
                        const Completeness& completeness);

// Of a session with --fail-on that never watched a loop: it cannot have found anything, so it does not pass.
Error nothing_watched(const std::string& name);

}  // namespace loopwatch
