// SPDX-License-Identifier: Apache-2.0
//
// Typed events: what the ring's bytes mean. A record that is too short for its kind, or claims more bytes than it has,
// is no event.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include <lw_event.h>

namespace loopwatch {

struct SourceEvent {
    lw_source head;
    std::vector<std::uint8_t> stack;
};
struct SampleEvent {
    lw_sample head;
    std::vector<std::uint8_t> stack;
};
struct CallEvent {
    lw_call head;
    std::vector<std::uint8_t> stack;
};
struct WakeEvent {
    lw_event head;
};
struct ExitEvent {
    lw_event head;
};

using Event =
    std::variant<lw_loop_started, lw_dispatch, SourceEvent, SampleEvent, CallEvent, lw_trace, WakeEvent, ExitEvent>;

std::optional<Event> decode(std::span<const std::uint8_t> bytes);

}  // namespace loopwatch
