// SPDX-License-Identifier: Apache-2.0
//
// The probes inside a shared library, next to those of the program: each has sites and semaphores of its own.
#include <loopwatch/probe.hpp>

void fire_again(std::uint64_t base);

void fire_again(std::uint64_t base)
{
    namespace probe = loopwatch::probe;
#define LW_PROBE1(id, gate, name, a, doc) probe::name(base);
#define LW_PROBE2(id, gate, name, a, b, doc) probe::name(base, base);
#define LW_PROBE3(id, gate, name, a, b, c, doc) probe::name(base, base, base);
#define LW_PROBE4(id, gate, name, a, b, c, d, doc) probe::name(base, base, base, base);
#define LW_PROBE5(id, gate, name, a, b, c, d, e, doc) probe::name(base, base, base, base, base);
#include <loopwatch/probes.def>
}
