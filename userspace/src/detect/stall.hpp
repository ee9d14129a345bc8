// SPDX-License-Identifier: Apache-2.0
//
// A dispatch that has not returned, as if it ended now.
#pragma once

#include <optional>

#include "collect/dispatch_book.hpp"
#include "detect/target.hpp"

namespace loopwatch {

// `ongoing`: what the scheduler's view has of the thread. If it is of another dispatch, no switch was seen in this one:
// it has been running for as long as its thread was seen. nullopt: nothing is known. What `book` holds is kept there
// for the dispatch's end.
DispatchBundle stall_bundle(const OverdueDispatch& overdue, std::optional<OngoingDispatch> ongoing,
                            const DispatchBook& book);

}  // namespace loopwatch
