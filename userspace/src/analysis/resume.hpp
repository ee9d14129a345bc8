// SPDX-License-Identifier: Apache-2.0
//
// Which coroutine a dispatch resumed. Of a part of an iteration that began with a coroutine's resume: that the resume
// returned is not seen, so a plain callback may have come behind it, or another coroutine that only seemed to be called
// by it.
#pragma once

#include "analysis/facts.hpp"

namespace loopwatch {

// Makes it a dispatch of that coroutine, unless the stacks say that most of its time passed elsewhere.
void attribute_to_resume(DispatchFacts& facts);
// A dispatch of Asio's is named after its operation: puts the function that co_awaited it before that, if a stack has
// it, "quote/async_receive".
void name_awaiting_coroutine(DispatchFacts& facts);

}  // namespace loopwatch
