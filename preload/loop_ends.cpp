// SPDX-License-Identifier: Apache-2.0
//
// What a loop with a slot has counted is in the program's memory, which is gone once the process has ended: statistics
// of its last interval would be missing, and of a program that lives for less than one all of them. So the counters
// are written into the ring when a loop ends, and when its process exits.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <loopwatch/loop_state.h>

#include "caller_memory.hpp"
#include "lane.hpp"
#include "ring.hpp"
#include "shim_state.hpp"
#include "standalone.hpp"

namespace loopwatch::preload {
namespace {

struct Started {
    lw_loop_started head;
    char name[LW_NAME_BYTES];
};
struct Stopped {
    lw_loop_started head;
    lw_loop_slot slot;
};

template <class Record>
void tell(lw_lane& lane, const lw_loop_slot& slot, lw_event_kind kind, Record& record)
{
    std::uint64_t head;
    unsigned char* const to = reserve(lane, sizeof record, head);
    if (to == nullptr) return;
    record.head.event = event_of(lane, slot, kind, 0);
    record.head.event.size = sizeof record;
    record.head.slot = word(&slot);
    record.head.abi = LW_ABI;
    std::memcpy(to, &record, sizeof record);
    append(lane, head, sizeof record);
    publish(lane);
}

// The thread of another lane may be giving up its slot right now; the calling thread's is there until it registers
// another one.
bool copy_slot(lw_lane& lane)
{
    const auto* const slot = reinterpret_cast<const lw_loop_slot*>(lane.slot);
    lw_loop_slot& own = body_of(lane).own;
    if (&lane != thread.lane) return copy_out(own, slot);
    std::memcpy(&own, slot, sizeof own);
    return true;
}

// By exit() or return from main; of _exit, a signal and exec the collector says that the counters are missing.
[[gnu::destructor]] void copy_slots()
{
    if (ring == nullptr || standalone != Standalone::off || !is_ours()) return;
    for (lw_lane& lane : ring->lanes) {
        const bool has_slot = __atomic_load_n(&lane.tid, __ATOMIC_ACQUIRE) != 0 && lane.slot != 0;
        if (!has_slot || __atomic_load_n(&lane.candidate, __ATOMIC_ACQUIRE) != 0 || !copy_slot(lane)) continue;
        __atomic_fetch_or(&ring->slots_copied, 1ull << (&lane - ring->lanes), __ATOMIC_RELEASE);
    }
}

}  // namespace

void tell_loop_start(lw_lane& lane, const lw_loop_slot& slot)
{
    if (standalone != Standalone::off) return;
    Started record = {};
    if (slot.name != nullptr) copy_text(record.name, sizeof record.name, slot.name);
    tell(lane, slot, LW_EVENT_LOOP_START, record);
}

void tell_loop_stop(lw_lane& lane)
{
    if (standalone != Standalone::off || lane.slot == 0 || lane.candidate != 0) return;
    forget_calls(lane);  // of a dispatch that was not slow, or in which the thread ends
    const auto& slot = *reinterpret_cast<const lw_loop_slot*>(lane.slot);
    Stopped record = {};
    record.slot = slot;
    tell(lane, slot, LW_EVENT_LOOP_STOP, record);
}

}  // namespace loopwatch::preload
