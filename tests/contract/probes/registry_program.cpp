// SPDX-License-Identifier: Apache-2.0
//
// A runtime of somebody's own that publishes loops: two from the program and, with WITH_LIBRARY, one from a shared
// library.
#include <loopwatch/rt/registry.hpp>

#include "handshake.hpp"

void library_loop();

static lw_loop_slot make_slot(const char* name, lw_u64 id)
{
    lw_loop_slot slot = {};
    slot.magic = LW_SLOT_MAGIC;
    slot.abi = LW_ABI;
    slot.size = sizeof slot;
    slot.name = name;
    slot.loop_id = id;
    return slot;
}

#ifdef LIBRARY
void library_loop()
{
    static lw_loop_slot slot = make_slot("library", 33);
    loopwatch::registry_add(slot);
}
#else
int main()
{
    static lw_loop_slot first = make_slot("first", 11), second = make_slot("second", 22), gone = make_slot("gone", 44);
    loopwatch::registry_add(first);
    loopwatch::registry_add(gone);
    loopwatch::registry_add(second);
    loopwatch::registry_remove(gone);
#ifdef WITH_LIBRARY
    library_loop();
#endif
    handshake("ready");
}
#endif
