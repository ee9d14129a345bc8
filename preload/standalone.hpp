// SPDX-License-Identifier: Apache-2.0
//
// LOOPWATCH=warn or strict: a process that tells of itself, on stderr or in the file that LOOPWATCH_LOG names, with no
// collector anywhere. strict ends it, with 3, once a dispatch that was slow has ended.
#pragma once

#include "report.hpp"
#include "ring.hpp"

namespace loopwatch::preload {

enum class Standalone : char { off, warn, strict };
inline constinit Standalone standalone = Standalone::off;

// LOOPWATCH is set, and not to off.
bool asks_for_standalone();
// LOOPWATCH, LOOPWATCH_THRESHOLD (100ms), LOOPWATCH_BLOCK_THRESHOLD (10ms), LOOPWATCH_LOG. False: nothing is asked for.
bool read_standalone_wish();
void say_armed(bool seen);
// So many seccomp filters were there before the program: nothing will be said.
void say_unarmed(unsigned filters);
// Nothing will be said any more.
void say_sandboxed();
// The longest call of a dispatch is named with it.
void note_call(const lw_loop_slot& slot, const char* call, CallTimes times, const lw_call_detail& detail);
// Of another loop, which counts its dispatches anew.
void forget_longest();
void say_dispatch(const lw_loop_slot& slot, const Dispatch& dispatch, bool slow);

}  // namespace loopwatch::preload
