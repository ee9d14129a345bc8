// SPDX-License-Identifier: Apache-2.0
#include "shim_state.hpp"

#include <pthread.h>

namespace loopwatch::preload {
namespace {

// The child's loop is a copy that nobody runs: it registers anew when somebody does. vfork runs no handlers and needs
// none.
void forget_loop()
{
    thread = {};
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
    loopwatch::preload::thread.slot = slot != nullptr && loopwatch::preload::understood(slot) ? slot : nullptr;
}

static_assert(__is_same(decltype(loopwatch_shim_register), lw_shim_register_fn));
