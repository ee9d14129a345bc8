// SPDX-License-Identifier: Apache-2.0
//
// Reads what a process publishes for OpenTelemetry (stack/process_context.hpp) from its memory.
#pragma once

#include <sys/types.h>

#include <optional>

#include "stack/process_context.hpp"

namespace loopwatch {

// Not parsed: that is the worker's. None: it publishes nothing, or its memory may not be read. Costs a read of
// /proc/PID/maps, at most 16 MiB of it.
std::optional<ContextPayload> published_context(pid_t pid);

}  // namespace loopwatch
