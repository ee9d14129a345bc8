// SPDX-License-Identifier: Apache-2.0
//
// Reports made in code: one record of every type with every field filled, and what a hostile target can put into them.
#pragma once

#include <vector>

#include "output/record_json.hpp"

namespace loopwatch::samples {

// A fixed machine and a fixed date.
JsonContext context();

// A session as it might have been: each type at least once, each optional part present at least once and absent at
// least once.
std::vector<Report> session();

// Broken UTF-8, escape sequences, bidirectional marks, quotes and NUL bytes in every string that a target controls.
std::vector<Report> hostile();

}  // namespace loopwatch::samples
