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

#include "collect/observation.hpp"
#include "util/byte_budget.hpp"

namespace loopwatch {

struct LongBlock {
    std::uint32_t place = 0;
    std::uint64_t start_ns = 0, end_ns = 0;
    RawWaker waker;
    std::optional<WakerEvent> waker_stack;  // none: not seen, or left out
};

struct DispatchBundle {
    bool in_progress = false;  // `closing` tells how things stand, not how they ended
    bool start_known = true;   // false: closing's start is when it was first seen
    bool end_known = true;     // false: closing's end is when it was seen to be over
    bool last = false;         // its thread began no other: it ended in this one, or is not watched any more
    std::uint32_t pid = 0, tid = 0;
    std::uint64_t loop_id = 0, seq = 0, last_ns = 0;
    std::optional<DispatchEvent> closing;
    std::vector<SourceEvent> places;  // by their index; the latest totals, the first stack
    std::vector<LongBlock> long_blocks;
    std::vector<CallEvent> calls;
    std::uint64_t unrecorded_ns = 0;  // calls of which only the sum is known
    bool calls_missing = false;       // more may have been lost
    std::vector<SampleEvent> samples;
    std::optional<SourceEvent> asleep;  // where it slept when its loop was found
    std::uint64_t dispatches = 0;       // of an iteration: how many it ran; `places` are where it was found blocked
    std::size_t stack_bytes = 0, head_bytes = 0;  // that it holds of the book's

    // A sum of calls that have no record, which carries no name.
    void add_rest(const CallEvent& event);
};

bool is_rest(const CallEvent& event);

class DispatchBook {
public:
    // Of more samples each second one goes, and the others stand for it.
    static constexpr std::size_t max_open = 256, max_samples = 64, max_calls = 256, max_long_blocks = 1024;
    static constexpr std::size_t max_recent = 16;  // threads, with up to 128 stacks each
    // Of one place: of its longest blocks. As many as are reported of one place in a second (output/limiter.hpp).
    static constexpr std::size_t max_waker_stacks = 100;
    // Of all that is kept here. Beyond, what comes is kept without its stack: a dispatch that blocks for hours would
    // collect 42 MiB. So much is assured of each process, whatever the others hold.
    static constexpr std::size_t max_stack_bytes = 64u << 20, assured_stack_bytes = 1u << 20;
    // Of blocks, samples and calls without their stacks; beyond, they are left out.
    static constexpr std::size_t max_head_bytes = 32u << 20, assured_head_bytes = 1u << 20;
    // Of stacks that wait for the record that they belong to: apart, so that those of a longer block come in.
    static constexpr std::size_t max_last_bytes = 8u << 20, assured_last_bytes = 256u << 10;

    void add(SourceEvent event);
    // Belongs to the long block of its thread that comes next.
    void add(WakerEvent event);
    void add(SampleEvent event);
    // Beyond the cap it is added to one of the same call and caller, and the shortest of these become a sum.
    void add(CallEvent event);
    // The next step of its thread tells of it.
    void add(ThrownEvent event);
    std::optional<ThrownEvent> take_thrown(std::uint32_t tid);
    DispatchBundle close(const DispatchEvent& closing);
    // An iteration that is old stands in a dispatch that is not: where it does. Its `count` is how often.
    void found_blocked(std::uint32_t tid, SourceEvent place);
    // The dispatch of `place`, which goes on, has slept there since before its loop was found: no switch was seen. It
    // is accounted for when the dispatch ends.
    void found_asleep(SourceEvent place);
    // Accounts for that sleep in what closes its dispatch.
    static void place_sleep(DispatchBundle& bundle);
    // How far apart the samples since then are by now, in CPU time of their thread; 0: there are none.
    std::uint64_t sample_distance_since(std::uint32_t tid, std::uint64_t time_ns) const;
    DispatchBundle close(const IterationEvent& closing);
    // Dispatches that ended unclosed, known from a later one of their thread, of which at least a long block or a call
    // is known.
    std::vector<DispatchBundle> take_superseded();
    // Dispatches of a thread that has ended, of which at least a long block or a call is known.
    std::vector<DispatchBundle> abandon(std::uint32_t tid);
    // And of a process.
    std::vector<DispatchBundle> abandon_process(std::uint32_t pid);
    // What is known so far of a dispatch that goes on; empty but for its thread and number if nothing is. With the
    // stack of one waker a place, that of its longest block: a stall reports no other.
    DispatchBundle so_far(std::uint32_t tid, std::uint64_t seq) const;
    // As above, of one dispatch.
    std::uint64_t sample_distance_of(std::uint32_t tid, std::uint64_t seq) const;
    // Dispatches, blocks, calls or stacks beyond the caps.
    std::uint64_t overflow() const noexcept { return overflow_; }
    std::size_t bytes() const noexcept { return stacks_.held() + heads_.held() + last_.held(); }

private:
    using Key = std::pair<std::uint32_t, std::uint64_t>;
    DispatchBundle& open(const EventHead& head);
    bool hold_head(DispatchBundle& bundle, std::size_t bytes);
    void hold_stack(DispatchBundle& bundle, std::vector<std::uint8_t>& stack);
    void drop_stack(DispatchBundle& bundle, std::vector<std::uint8_t>& stack);
    DispatchBundle take(std::map<Key, DispatchBundle>::iterator open);
    void thin_out(DispatchBundle& bundle);
    void hold_waker(DispatchBundle& bundle, LongBlock& block, std::optional<WakerEvent> waker);
    std::optional<WakerEvent> take_waker(const SourceEvent& block);
    // The last of each thread, by tid.
    template <class T>
    using Last = std::map<std::uint32_t, T>;
    template <class T>
    void put(Last<T>& last, T event);
    template <class T>
    std::optional<T> take(Last<T>& last, std::uint32_t tid);
    template <class T>
    void forget(Last<T>& last, std::uint32_t pid);
    std::map<Key, DispatchBundle> open_;
    Last<WakerEvent> wakers_;
    Last<ThrownEvent> thrown_;
    // What was seen of dispatches that have ended without being slow: their iteration may be.
    struct Recent {
        std::uint32_t pid = 0;
        std::deque<SampleEvent> samples;
        std::deque<SourceEvent> blocked;
    };
    void keep(DispatchBundle& ended);
    Recent& recent_of(std::uint32_t pid, std::uint32_t tid);
    template <class T>
    void put(std::deque<T>& recent, T event);
    template <class T>
    void thin_out(std::deque<T>& recent);
    Recent take_recent(std::uint32_t tid);
    std::map<std::uint32_t, Recent> recent_;  // by tid
    std::vector<DispatchBundle> superseded_;
    ByteBudget stacks_{max_stack_bytes, assured_stack_bytes};
    ByteBudget heads_{max_head_bytes, assured_head_bytes};
    ByteBudget last_{max_last_bytes, assured_last_bytes};
    std::uint64_t overflow_ = 0;
};

}  // namespace loopwatch
