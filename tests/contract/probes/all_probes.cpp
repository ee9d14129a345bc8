// SPDX-License-Identifier: Apache-2.0
//
// Fires every probe of the table once, generated from the table. Argument i of probe n is 16 n + i, so that whoever
// listens can tell a swapped or truncated one. With an argument it fires only when told to.
#include <cstdint>
#include <loopwatch/probe.hpp>

#include "handshake.hpp"

namespace probe = loopwatch::probe;

void fire_again(std::uint64_t base);  // a second translation unit with the same thunks

// Not a constant to the optimizer, which would otherwise be free to pass immediates.
static volatile std::uint64_t unit = 1;

static std::uint64_t argument(unsigned id, unsigned index)
{
    return (16 * id + index) * unit;
}

static void fire_all()
{
#define LW_PROBE1(id, gate, name, a, doc) probe::name(argument(id, 1));
#define LW_PROBE2(id, gate, name, a, b, doc) probe::name(argument(id, 1), argument(id, 2));
#define LW_PROBE3(id, gate, name, a, b, c, doc) probe::name(argument(id, 1), argument(id, 2), argument(id, 3));
#define LW_PROBE4(id, gate, name, a, b, c, d, doc) \
    probe::name(argument(id, 1), argument(id, 2), argument(id, 3), argument(id, 4));
#define LW_PROBE5(id, gate, name, a, b, c, d, e, doc) \
    probe::name(argument(id, 1), argument(id, 2), argument(id, 3), argument(id, 4), argument(id, 5));
#include <loopwatch/probes.def>
}

int main(int argc, char**)
{
    if (argc > 1) handshake("ready");
    fire_all();
    if (argc > 1) handshake("fired");
    fire_again(unit);
}
