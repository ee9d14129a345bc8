// SPDX-License-Identifier: Apache-2.0
//
// Built twice with LOOPWATCH_NO_PROBES: with the probes and, with LEAVE_EMPTY, without. The code must be the same to
// the byte.
#include <loopwatch/probe.hpp>

void fire_all(std::uint64_t v);

void fire_all([[maybe_unused]] std::uint64_t v)
{
#ifndef LEAVE_EMPTY
    namespace probe = loopwatch::probe;
    if (probe::watched() || probe::traced() || probe::debugged()) __builtin_trap();
#define LW_PROBE1(id, gate, name, a, doc) probe::name(v);
#define LW_PROBE2(id, gate, name, a, b, doc) probe::name(v, v);
#define LW_PROBE3(id, gate, name, a, b, c, doc) probe::name(v, v, v);
#define LW_PROBE4(id, gate, name, a, b, c, d, doc) probe::name(v, v, v, v);
#define LW_PROBE5(id, gate, name, a, b, c, d, e, doc) probe::name(v, v, v, v, v);
#include <loopwatch/probes.def>
#endif
}
