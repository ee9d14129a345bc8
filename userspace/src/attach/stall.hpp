// SPDX-License-Identifier: Apache-2.0
//
// A dispatch that has not returned, as if it ended now. What of it began before the session, the scheduler's view does
// not know: a thread that slept by then is looked at from outside.
#pragma once

#include <optional>

#include "attach/attachment.hpp"
#include "attach/watchdog.hpp"
#include "collect/dispatch_book.hpp"
#include "collect/kernel.hpp"
#include "collect/unprobed_loops.hpp"

namespace loopwatch {

// `ongoing`: what the scheduler's view has of the thread. If it is of another dispatch, no switch was seen in this one:
// it has been running for as long as its thread was seen. nullopt: nothing is known. What `book` holds is kept there
// for the dispatch's end.
DispatchBundle stall_bundle(const OverdueDispatch& overdue, std::optional<OngoingDispatch> ongoing,
                            const DispatchBook& book);

// Where the thread sleeps, with its task and stack, if the scheduler's view has nothing of the dispatch and it sleeps
// at all. `entered_ns`: when the session began to watch its loop.
std::optional<OngoingDispatch> found_asleep(const OverdueDispatch& overdue, std::uint64_t entered_ns,
                                            Attachment& target, const UnprobedLoops& threads);

}  // namespace loopwatch
