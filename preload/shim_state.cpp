// SPDX-License-Identifier: Apache-2.0
#include "shim_state.hpp"

#include <pthread.h>

#include "own_loops.hpp"
#include "ring.hpp"
#include "standalone.hpp"

namespace loopwatch::preload {
namespace {

// The child's loop is a copy that nobody runs: it registers anew when somebody does. vfork runs no handlers and needs
// none.
void forget_loop()
{
    thread = {};
    forget_longest();
    forget_waits();
    rearm_in_child();
}

[[gnu::constructor]] void watch_forks()
{
    pthread_atfork(nullptr, nullptr, forget_loop);
}

bool understood(const lw_loop_slot* slot)
{
    return slot->magic == LW_SLOT_MAGIC && slot->abi == LW_ABI && slot->size >= sizeof(lw_loop_slot);
}

}  // namespace
}  // namespace loopwatch::preload

// The calling thread begins to run the loop of this slot; 0: it ceases to. A slot of another ABI leaves the thread
// unmeasured.
extern "C" [[gnu::visibility("default")]] void loopwatch_shim_register(const lw_loop_slot* slot)
{
    using namespace loopwatch::preload;
    if (!in_own_process()) leave_ring();
    thread.slot = slot != nullptr && understood(slot) ? slot : nullptr;
    forget_longest();
    thread.slot != nullptr ? static_cast<void>(claim_lane(slot)) : release_lane();
}

namespace loopwatch::preload {
namespace {

lw_lane* lane_of(const lw_loop_slot* slot)
{
    return thread.slot == slot && in_own_process() ? thread.lane : nullptr;
}

void on_slow_dispatch(const lw_loop_slot* slot, const lw_task* task, const lw_location* resume, lw_u64 start_ns,
                      lw_u64 end_ns)
{
    if (lw_lane* const lane = lane_of(slot))
        tell_dispatch(*lane, *slot, {slot->seq - 1, start_ns, end_ns, task, resume});
}

void on_slow_iteration(const lw_loop_slot* slot, lw_u64 dispatches, lw_u64 start_ns, lw_u64 end_ns)
{
    if (lw_lane* const lane = lane_of(slot)) tell_iteration(*lane, *slot, dispatches, start_ns, end_ns);
}

constexpr lw_listener listener = {LW_ABI, sizeof(lw_listener), on_slow_dispatch, on_slow_iteration};

}  // namespace
}  // namespace loopwatch::preload

// Somebody listens on the calling thread if its loop has a lane.
extern "C" [[gnu::visibility("default")]] const lw_listener* loopwatch_shim_listener()
{
    return loopwatch::preload::thread.lane != nullptr ? &loopwatch::preload::listener : nullptr;
}

extern "C" [[gnu::visibility("default")]] lw_u64 loopwatch_shim_findings()
{
    return __atomic_load_n(&loopwatch::preload::findings, __ATOMIC_RELAXED);
}

static_assert(__is_same(decltype(loopwatch_shim_findings), lw_shim_findings_fn));
static_assert(__is_same(decltype(loopwatch_shim_register), lw_shim_register_fn));
static_assert(__is_same(decltype(loopwatch_shim_listener), lw_shim_listener_fn));
