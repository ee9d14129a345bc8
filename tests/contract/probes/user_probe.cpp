// SPDX-License-Identifier: Apache-2.0
//
// A program's own probe made with systemtap's header, with a semaphore in `.probes`, as any program that uses loopwatch
// may have.
#define _SDT_HAS_SEMAPHORES 1
#include <sys/sdt.h>

#include <cstdint>
#include <loopwatch/probe.hpp>

extern "C" {
__attribute__((section(".probes"), used)) volatile unsigned short shop_order_semaphore = 0;
}

void fire_again(std::uint64_t base);

void fire_again(std::uint64_t base)
{
    if (__builtin_expect(shop_order_semaphore, 0)) STAP_PROBE1(shop, order, base);
    loopwatch::probe::loop_stop(base);
}
