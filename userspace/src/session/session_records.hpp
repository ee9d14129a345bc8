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
#include "session/attachment.hpp"
#include "session/session_options.hpp"

namespace loopwatch {

SessionStart session_start(const SessionOptions& options, const std::vector<std::string>& warnings,
                           const Targets& targets);
TargetStart target_start(Attachment& target);
Overhead own_overhead(const Kernel::Cost& cost, pid_t worker);

}  // namespace loopwatch
