// SPDX-License-Identifier: Apache-2.0
//
// What a session says of itself.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "analysis/finding.hpp"
#include "command/session_options.hpp"
#include "detect/statistics.hpp"
#include "detect/watchdog.hpp"
#include "report/reporter.hpp"

namespace loopwatch {

SessionStart session_start(const SessionOptions& options, const std::vector<std::string>& warnings,
                           const Targets& targets);
// All but how it ended, what it cost, what the caller counts itself and what each sink lacks (Hub).
SessionEnd session_end(const Reporter& reporter, const Statistics& statistics, Counts lost, std::uint64_t started_ns,
                       bool saw_loop);
// Added to what the source costs.
Overhead own_overhead(Overhead source, pid_t worker);

}  // namespace loopwatch
