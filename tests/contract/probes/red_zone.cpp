// SPDX-License-Identifier: Apache-2.0
//
// A probe site inlined into a leaf function that keeps its values in the red zone, as compilers do. SITE_BYTES are the
// bytes of the site under test. Calls the leaf 200,000 times when told to and prints how many calls lost a value.
#include <cstdio>

#include "handshake.hpp"

extern "C" {
__attribute__((section(".data"), used)) volatile unsigned short red_zone_semaphore = 0;
}

__attribute__((noinline, noclone)) static unsigned long leaf(unsigned long a, unsigned long b)
{
    unsigned long sum;
    asm volatile(
        "mov %1, -8(%%rsp)\n"
        "mov %2, -16(%%rsp)\n"
        ".globl red_zone_site\n"
        "red_zone_site: .byte " SITE_BYTES
        "\n"
        "mov -8(%%rsp), %0\n"
        "add -16(%%rsp), %0\n"
        : "=&r"(sum)
        : "r"(a), "r"(b)
        : "memory");
    return sum;
}

int main()
{
    handshake("ready");
    unsigned corrupted = 0;
    for (unsigned long i = 0; i < 200'000; i++) corrupted += leaf(i, 3 * i) != 4 * i;
    std::printf("corrupted %u of 200000\n", corrupted);
    handshake("finished");
}
