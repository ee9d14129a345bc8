// SPDX-License-Identifier: Apache-2.0
//
// Whose doing a part of an iteration was that began with a coroutine's resume. That the resume returned nobody sees: a
// plain callback may have come behind it, or another coroutine that only seemed to be called by it.
#pragma once

#include "analysis/facts.hpp"

namespace loopwatch {

// Makes it a dispatch of that coroutine, unless the stacks say that most of its time passed elsewhere.
void attribute_to_resume(DispatchFacts& facts);

}  // namespace loopwatch
