// SPDX-License-Identifier: Apache-2.0
//
// Typed events: what the ring's bytes mean. A record that is too short for its kind, or claims more bytes than it has,
// is no event.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include <lw_event.h>

#include "target/loop_state.hpp"

namespace loopwatch {

struct LoopStoppedEvent {
    lw_loop_started head;
    std::optional<LoopState> state;
};
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
struct WakerEvent {
    lw_waker_stack head;
    std::vector<std::uint8_t> stack;
};
struct WaitEvent {
    lw_wait head;
    std::vector<std::uint8_t> stack;
};
struct ThrownEvent {
    lw_thrown head;
    std::vector<std::uint8_t> stack;
};
struct WakeEvent {
    lw_event head;
};
struct ChildEvent {
    lw_event head;
};
struct ExitEvent {
    lw_event head;
};
struct ExecEvent {
    lw_event head;
};
// One of the steps of a record; `event` is the record's, with the step's own time.
struct StepEvent {
    lw_event event;
    lw_step step;
};

using Event =
    std::variant<lw_loop_started, LoopStoppedEvent, lw_dispatch, lw_iteration, SourceEvent, SampleEvent, CallEvent,
                 StepEvent, WakerEvent, WaitEvent, ThrownEvent, WakeEvent, ExitEvent, ChildEvent, ExecEvent>;

// The descriptors that a poll or select waits for, as far as they were read.
std::vector<std::uint64_t> polled_descriptors(const lw_wait& wait);

// Hands over the record's events, in most cases one; returns how many. 0: it is none of ours, or what it says about its
// size is not so.
std::size_t decode(std::span<const std::uint8_t> bytes, const std::function<void(const Event&)>& handle);

}  // namespace loopwatch
