// SPDX-License-Identifier: Apache-2.0
//
// A second translation unit that uses the same thunks: the linker must keep one of each.
#include <loopwatch/probe.hpp>

void fire_again(std::uint64_t base);

void fire_again(std::uint64_t base)
{
    loopwatch::probe::slow_dispatch(base, base, base, base, base);
    loopwatch::probe::slow_iteration(base, base, base, base);
    loopwatch::probe::task_create(base, base, "name", base);
    loopwatch::probe::thread_violation(base, "post", base);
}
