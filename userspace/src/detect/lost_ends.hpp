// SPDX-License-Identifier: Apache-2.0
//
// LostEnds: dispatches that were reported as stalls, and have ended without the record that closes them, as the ring
// had no room for it. They are closed with what is known: when they began, and when they were seen to be over.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "collect/dispatch_book.hpp"

namespace loopwatch {

class LostEnds {
public:
    struct End {
        DispatchEvent closing = {};  // as of the last stall; end_ns is when it was seen to be over, 0: it goes on
        bool start_known = true;
    };
    // How long a record may take once its dispatch is over: the thread that writes it may lose its CPU before.
    static constexpr std::uint64_t patience_ns = 200'000'000;
    static constexpr std::size_t max_ends = 4096;

    // A stall was reported.
    void reported(DispatchEvent closing, bool start_known);
    // The loop is past this dispatch. `of`: its thread, loop and number.
    void over(const EventHead& of, std::uint64_t now_ns);
    // The record that closes a dispatch has come. False: too late, the dispatch was taken.
    bool came(const EventHead& of);
    // Of one whose record does not come any more, as later ones of its thread have: closes it, if it is known.
    void close(DispatchBundle& bundle, std::uint64_t now_ns);
    // Those whose records should have come by now.
    std::vector<End> take(std::uint64_t now_ns);
    // Those of a loop before a dispatch whose record has come: records come in order.
    std::vector<End> take_before(const EventHead& of, std::uint64_t now_ns);
    // All that are over of a process that has ended; nothing is known of it from then on.
    std::vector<End> take_of(std::uint32_t pid);

private:
    struct Key {
        std::uint32_t tid;
        std::uint64_t loop_id, seq;
        auto operator<=>(const Key&) const = default;
    };
    static Key key_of(const EventHead& event) { return {event.tid, event.loop_id, event.seq}; }
    template <class Is>
    std::vector<End> take_if(Is is);
    std::map<Key, End> ends_;
    std::map<Key, std::uint32_t> taken_;  // with their pids
};

}  // namespace loopwatch
