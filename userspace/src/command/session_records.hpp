// SPDX-License-Identifier: Apache-2.0
//
// What a session says of itself and of its targets.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "analysis/finding.hpp"
#include "collect/kernel.hpp"
#include "command/session_options.hpp"
#include "detect/statistics.hpp"
#include "report/reporter.hpp"
#include "resolve/watched_process.hpp"

namespace loopwatch {

SessionStart session_start(const SessionOptions& options, const std::vector<std::string>& warnings,
                           const std::vector<WatchedProcess*>& targets);
TargetStart target_start(WatchedProcess& target);
// All but how it ended, what it cost, what the caller counts itself and what each sink lacks (Hub).
SessionEnd session_end(const Reporter& reporter, const Statistics& statistics, Counts lost, std::uint64_t started_ns,
                       bool saw_loop);
Overhead own_overhead(const Kernel::Cost& cost, pid_t worker);

}  // namespace loopwatch
