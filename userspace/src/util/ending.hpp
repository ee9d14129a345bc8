// SPDX-License-Identifier: Apache-2.0
//
// Whether this process was asked to end by one of the signals that it has blocked: for whoever waits for somebody else
// on the way there.
#pragma once

namespace loopwatch {

// One was taken off the signalfd: it is pending no more.
void note_ending();
bool ending_requested();

}  // namespace loopwatch
