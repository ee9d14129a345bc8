// SPDX-License-Identifier: Apache-2.0
//
// The wait, once probes and scheduler's view are attached, until the loops of programs without probes are known.
#pragma once

#include <functional>

#include "attach/attachment.hpp"
#include "collect/kernel.hpp"
#include "util/reactor.hpp"

namespace loopwatch {

// Until those that wait by now are known and, of the rest, those that do within a moment: 10 s at most, then as far as
// it came. Detection is live then. `on_event` gets what the kernel side tells meanwhile, but for waits.
void find_loops(const Attachments& targets, Kernel& kernel, SymbolWorker& worker, Reactor& reactor,
                const std::function<void(const Event&)>& on_event);

}  // namespace loopwatch
