// SPDX-License-Identifier: Apache-2.0
//
// The capabilities that watching from outside uses, one row each, with what is missing without it: for doctor. Which of
// them a session keeps once it is attached is core_confinement's table; README, "Limits", has the same rows.
#pragma once

#include <cstdint>
#include <vector>

#include "command/preflight.hpp"

namespace loopwatch {

// Of this thread; a bit each.
std::uint64_t effective_capabilities();

// Names of those without which no session works and that are not among `effective`; empty: none is missing.
std::string missing_privileges(std::uint64_t effective);

// A row for each: ok, degraded, or missing if nothing can be watched without it.
std::vector<Check> check_capabilities(std::uint64_t effective);

}  // namespace loopwatch
