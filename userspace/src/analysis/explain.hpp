// SPDX-License-Identifier: Apache-2.0
//
// From the facts of one dispatch to what is reported of it. Pure: no I/O, no clock; `occurrence` stays 1 (Occurrences
// counts).
#pragma once

#include "analysis/facts.hpp"

namespace loopwatch {

Findings explain(const DispatchFacts& facts);

}  // namespace loopwatch
