// SPDX-License-Identifier: Apache-2.0
//
// DispatchBook: gathers what arrives about one dispatch (blocks while it runs, samples, the shim's calls) until the
// record that closes it. Bounded: what never gets closed is dropped or, if it holds long blocks, handed out as
// incomplete.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "collect/event.hpp"

namespace loopwatch {

struct LongBlock {
    std::uint32_t place = 0;
    std::uint64_t start_ns = 0, end_ns = 0;
    lw_waker waker = {};
    std::optional<WakerEvent> waker_stack;
};

struct DispatchBundle {
    bool in_progress = false;  // `closing` tells how things stand, not how they ended
    bool start_known = true;   // false: closing's start is when it was first seen
    std::uint32_t pid = 0, tid = 0;
    std::uint64_t loop_id = 0, seq = 0, last_ns = 0;
    std::optional<lw_dispatch> closing;
    std::vector<SourceEvent> places;  // by their index; the latest totals, the first stack
    std::vector<LongBlock> long_blocks;
    std::vector<CallEvent> calls;
    std::vector<SampleEvent> samples;
    std::uint64_t dispatches = 0;  // of an iteration: how many it ran; `places` are where it was found blocked
    std::size_t stack_bytes = 0;   // of all its stacks
};

class DispatchBook {
public:
    static constexpr std::size_t max_open = 256, max_samples = 64, max_calls = 256, max_long_blocks = 1024;
    static constexpr std::size_t max_recent = 16;  // threads, with up to 128 stacks each
    // Of the stacks of what has not ended. Beyond, what comes is kept without: a dispatch that blocks for hours would
    // collect 42 MiB. So much is assured of each process, whatever the others hold.
    static constexpr std::size_t max_stack_bytes = 64u << 20, assured_stack_bytes = 1u << 20;

    void add(SourceEvent event);
    // Belongs to the long block of its thread that comes next.
    void add(WakerEvent event);
    void add(SampleEvent event);
    void add(CallEvent event);
    DispatchBundle close(const lw_dispatch& closing);
    // An iteration that is old stands in a dispatch that is not: where it does.
    void found_blocked(std::uint32_t tid, SourceEvent place);
    std::size_t samples_since(std::uint32_t tid, std::uint64_t time_ns) const;
    DispatchBundle close(const lw_iteration& closing);
    // Dispatches that ended unclosed, known from a later one of their thread, of which at least a long block or a call
    // is known.
    std::vector<DispatchBundle> take_superseded();
    // Dispatches of a thread that has ended, of which at least a long block or a call is known.
    std::vector<DispatchBundle> abandon(std::uint32_t tid);
    // And of a process.
    std::vector<DispatchBundle> abandon_process(std::uint32_t pid);
    // What is known so far of a dispatch that goes on; empty but for its thread and number if nothing is.
    DispatchBundle so_far(std::uint32_t tid, std::uint64_t seq) const;
    std::size_t samples_of(std::uint32_t tid, std::uint64_t seq) const;
    // Dispatches, blocks, calls or stacks beyond the caps.
    std::uint64_t overflow() const noexcept { return overflow_; }

private:
    using Key = std::pair<std::uint32_t, std::uint64_t>;
    DispatchBundle& open(const lw_event& event);
    void hold(DispatchBundle& bundle, std::vector<std::uint8_t>& stack);
    void drop(DispatchBundle& bundle, std::vector<std::uint8_t>& stack);
    DispatchBundle take(std::map<Key, DispatchBundle>::iterator open);
    std::optional<WakerEvent> take_waker(const lw_source& source);
    std::map<Key, DispatchBundle> open_;
    std::map<std::uint32_t, WakerEvent> wakers_;  // by tid
    // What was seen of dispatches that have ended without being slow: their iteration may be.
    struct Recent {
        std::deque<SampleEvent> samples;
        std::deque<SourceEvent> blocked;
    };
    void keep(DispatchBundle& ended);
    Recent& recent_of(std::uint32_t tid);
    std::map<std::uint32_t, Recent> recent_;  // by tid
    std::vector<DispatchBundle> superseded_;
    std::map<std::uint32_t, std::size_t> stack_bytes_;  // of open_, by pid
    std::size_t all_stack_bytes_ = 0;
    std::uint64_t overflow_ = 0;
};

}  // namespace loopwatch
