// SPDX-License-Identifier: Apache-2.0
//
// How many files this process may have open: each file that a target maps takes one. What it starts gets back the limit
// that it was started with.
#pragma once

namespace loopwatch {

// The soft limit to the hard one.
void raise_descriptor_limit();
// In a child, before it executes another program.
void restore_descriptor_limit();

}  // namespace loopwatch
