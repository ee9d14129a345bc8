// SPDX-License-Identifier: Apache-2.0
//
// A tracer in the process itself: raises the semaphore of the shim's blocking_call probe and plants a breakpoint on its
// site, as the kernel does for a uprobe, and keeps what the probe hands out. So every test of the shim runs without
// root.
#pragma once

#include <cstddef>
#include <cstdint>

#include <loopwatch/loop_state.h>

namespace tap {

struct Report {
    char call[32];
    std::uint64_t start_ns, end_ns;
    lw_call_detail detail;
};

// Finds the shim among the loaded libraries by loopwatch_shim_register. Ends the program with a message if there is
// none.
void attach();
void detach();

// Until a tracer outside has raised the semaphore; the site is left alone.
void await_tracer();

// The semaphore alone: with it down nobody is attached, as far as the shim can tell.
void raise();
void lower();

// Forgets what was reported so far.
void clear();
std::size_t count();
// By order of time; a report without a name if there are fewer.
const Report& report(std::size_t index);

// A slot as a runtime publishes it, in a dispatch, with a floor of 1 ns: every call is reported, however short.
lw_loop_slot& loop();
inline void next_dispatch()
{
    loop().seq = loop().seq + 2;
}
// Tells the shim that the calling thread runs loop(), or has ceased to.
void enter();
void leave();

}  // namespace tap
