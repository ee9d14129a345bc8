// SPDX-License-Identifier: Apache-2.0
//
// Memory that this process shares with the kernel side, and its children are not to: a symbol worker that is started
// again parses files of targets, and could choose where the core reads its records.
#pragma once

namespace loopwatch {

// All BPF maps that are mapped by now.
void keep_maps_from_children();

}  // namespace loopwatch
