// SPDX-License-Identifier: Apache-2.0
//
// The table expanded with systemtap's own header: the reference for what our notes must look like to its readers.
#include <sys/sdt.h>

#include <cstdint>

static volatile std::uint64_t unit = 1;

int main()
{
    const std::uint64_t v = unit;
#define LW_PROBE1(id, gate, name, a, doc) STAP_PROBE1(loopwatch, name, v);
#define LW_PROBE2(id, gate, name, a, b, doc) STAP_PROBE2(loopwatch, name, v, v);
#define LW_PROBE3(id, gate, name, a, b, c, doc) STAP_PROBE3(loopwatch, name, v, v, v);
#define LW_PROBE4(id, gate, name, a, b, c, d, doc) STAP_PROBE4(loopwatch, name, v, v, v, v);
#define LW_PROBE5(id, gate, name, a, b, c, d, e, doc) STAP_PROBE5(loopwatch, name, v, v, v, v, v);
#include <loopwatch/probes.def>
}
