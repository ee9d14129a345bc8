// SPDX-License-Identifier: Apache-2.0
//
// Fires the probes of probes.def: `loopwatch::probe::slow_dispatch(loop, task, resume, start_ns, end_ns)`. Depends on
// nothing, builds with g++ and clang++ from C++17 on; compiled out by LOOPWATCH_NO_PROBES (and on machines that are not
// x86-64) no instruction is left. Never fails, never throws; a probe nobody has attached to costs one load and a
// predicted branch.
//
// Why a site looks as it does (each bought with a measurement on kernel 6.18; tests/contract holds all of it):
//   - nop, then a 10-byte nop, the note on the first. Kernels 6.16 to 7.1 turn a probed 5-byte nop into a call, which
//   overwrites
//     the red zone of leaf functions and kills children forked after the first hit; probing any other long nop
//     single-steps (19 us a hit). The 1-byte nop is safe everywhere, and from 7.2 on the pair becomes fast by itself.
//   - out of line and cold, so that the caller keeps only the semaphore test; arguments arrive where the calling
//   convention puts
//     them, so every note reads "8@%rdi 8@%rsi …" and a tracer needs no operand decoder and touches no memory.
//   - behind the nops a 7-byte nop that carries the probe's id: without it `--icf=all` folds all thunks into one.
//   - semaphores in .probes.loopwatch, not .probes, where they would clash with a user's own sdt semaphores; hidden, so
//   that each
//     DSO has its own; `used`, as without it LTO clones thunks and loses semaphores.
#pragma once

#include <cstdint>

#if !defined(LOOPWATCH_NO_PROBES) && !(defined(__x86_64__) && defined(__linux__) && !defined(__ILP32__))
#define LOOPWATCH_NO_PROBES
#endif

#ifndef LOOPWATCH_NO_PROBES

// The semaphores, each counted by the kernel; side by side, so that one load tells whether anybody is attached at all.
#define LW_GATE_watch 0
#define LW_GATE_trace 1
#define LW_GATE_debug 2
extern "C" {
union loopwatch_semaphore_set {
    volatile unsigned short count[4];
    volatile std::uint64_t any;
};
#ifdef __clang__
extern __attribute__((visibility("hidden"))) loopwatch_semaphore_set loopwatch_semaphores;
#else
inline __attribute__((section(".probes.loopwatch"), visibility("hidden"), used))
loopwatch_semaphore_set loopwatch_semaphores = {};
#endif
}
#ifdef __clang__
// Defined in assembler: clang (14, 16) takes a variable with a section attribute for a constant if it comes from a
// precompiled header. Semaphores in read-only memory are never raised, and debug mode crashed. Once in each object;
// once for all of -flto.
asm(".ifndef loopwatch_semaphores\n"
    ".pushsection .probes.loopwatch,\"awG\",@progbits,loopwatch_semaphores,comdat\n"
    ".weak loopwatch_semaphores\n .hidden loopwatch_semaphores\n"
    ".type loopwatch_semaphores,@object\n .size loopwatch_semaphores, 8\n"
    ".balign 8\n"
    "loopwatch_semaphores: .zero 8\n"
    ".popsection\n"
    ".endif\n");
#endif

#define LW_STRING_(x) #x
#define LW_STRING(x) LW_STRING_(x)

#ifdef LOOPWATCH_SITE_NOP
#define LW_SITE_NOP LOOPWATCH_SITE_NOP  // tests only: shows that the red-zone and fork tests can fail
#else
#define LW_SITE_NOP "0x90, 0x66,0x2e,0x0f,0x1f,0x84,0x00,0x00,0x00,0x00,0x00"
#endif

// A stapsdt note (type 3, version 3): address of the site, of .stapsdt.base, of the semaphore, then provider, name,
// arguments.
// "?" puts the note into the thunk's own section group, so that the linker drops and folds both together.
#define LW_SITE(id, gate, name, operands) \
    "990: .byte " LW_SITE_NOP "\n"                                                                       \
    ".byte 0x0f,0x1f,0x80\n .4byte 0x6c770000 + " LW_STRING(id) "\n"                                     \
    ".pushsection .note.stapsdt,\"?\",\"note\"\n"                                                        \
    ".balign 4\n .4byte 992f-991f, 994f-993f, 3\n"                                                       \
    "991: .asciz \"stapsdt\"\n 992: .balign 4\n"                                                         \
    "993: .8byte 990b, _.stapsdt.base, loopwatch_semaphores+2*" LW_STRING(LW_GATE_##gate) "\n"            \
    ".asciz \"loopwatch\"\n .asciz \"" #name "\"\n .asciz \"" operands "\"\n"                            \
    "994: .balign 4\n"                                                                                   \
    ".popsection\n"                                                                                      \
    ".ifndef _.stapsdt.base\n"                                                                           \
    ".pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n"                              \
    ".weak _.stapsdt.base\n .hidden _.stapsdt.base\n"                                                    \
    "_.stapsdt.base: .space 1\n .size _.stapsdt.base, 1\n"                                               \
    ".popsection\n"                                                                                      \
    ".endif\n"

#define LW_THUNK __attribute__((noinline, cold, used, visibility("hidden"))) inline void

#endif  // LOOPWATCH_NO_PROBES

namespace loopwatch::probe {

namespace detail {
template <class T>
inline std::uint64_t word(T* pointer) noexcept
{
    return reinterpret_cast<std::uint64_t>(pointer);
}
template <class T>
constexpr std::uint64_t word(T value) noexcept
{
    return static_cast<std::uint64_t>(value);
}
constexpr std::uint64_t word(decltype(nullptr)) noexcept
{
    return 0;
}
}  // namespace detail

#ifndef LOOPWATCH_NO_PROBES

namespace site {
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-register"
#endif
#define LW_PROBE1(id, gate, name, a, doc)                                     \
    LW_THUNK name(std::uint64_t a1) noexcept                                  \
    {                                                                         \
        asm volatile(LW_SITE(id, gate, name, "8@%%rdi")::"D"(a1) : "memory"); \
    }
#define LW_PROBE2(id, gate, name, a, b, doc)                                                   \
    LW_THUNK name(std::uint64_t a1, std::uint64_t a2) noexcept                                 \
    {                                                                                          \
        asm volatile(LW_SITE(id, gate, name, "8@%%rdi 8@%%rsi")::"D"(a1), "S"(a2) : "memory"); \
    }
#define LW_PROBE3(id, gate, name, a, b, c, doc)                                                                 \
    LW_THUNK name(std::uint64_t a1, std::uint64_t a2, std::uint64_t a3) noexcept                                \
    {                                                                                                           \
        asm volatile(LW_SITE(id, gate, name, "8@%%rdi 8@%%rsi 8@%%rdx")::"D"(a1), "S"(a2), "d"(a3) : "memory"); \
    }
#define LW_PROBE4(id, gate, name, a, b, c, d, doc)                                                                  \
    LW_THUNK name(std::uint64_t a1, std::uint64_t a2, std::uint64_t a3, std::uint64_t a4) noexcept                  \
    {                                                                                                               \
        asm volatile(LW_SITE(id, gate, name, "8@%%rdi 8@%%rsi 8@%%rdx 8@%%rcx")::"D"(a1), "S"(a2), "d"(a3), "c"(a4) \
                     : "memory");                                                                                   \
    }
#define LW_PROBE5(id, gate, name, a, b, c, d, e, doc)                                                                \
    LW_THUNK name(std::uint64_t a1, std::uint64_t a2, std::uint64_t a3, std::uint64_t a4, std::uint64_t a5) noexcept \
    {                                                                                                                \
        register std::uint64_t fifth asm("r8") = a5;                                                                 \
        asm volatile(LW_SITE(id, gate, name, "8@%%rdi 8@%%rsi 8@%%rdx 8@%%rcx 8@%%r8")::"D"(a1), "S"(a2), "d"(a3),   \
                     "c"(a4), "r"(fifth)                                                                             \
                     : "memory");                                                                                    \
    }
#include <loopwatch/probes.def>
#ifdef __clang__
#pragma clang diagnostic pop
#endif
}  // namespace site

#define LW_GATE(gate) __builtin_expect(loopwatch_semaphores.count[LW_GATE_##gate], 0)

// Is anybody attached? The one test that a loop makes on each dispatch.
inline bool attached() noexcept
{
    return __builtin_expect(loopwatch_semaphores.any != 0, 0);
}
inline bool watched() noexcept
{
    return LW_GATE(watch);
}
inline bool traced() noexcept
{
    return LW_GATE(trace);
}
inline bool debugged() noexcept
{
    return LW_GATE(debug);
}
// Somebody listens inside the process (struct lw_listener, debug mode), or ceases to: counted like a session that is
// attached.
inline void listen(bool begins, bool debug = false) noexcept
{
    const auto step = static_cast<unsigned short>(begins ? 1 : -1);
    __atomic_fetch_add(&loopwatch_semaphores.count[LW_GATE_watch], step, __ATOMIC_RELAXED);
    if (debug) __atomic_fetch_add(&loopwatch_semaphores.count[LW_GATE_debug], step, __ATOMIC_RELAXED);
}

#else

#define LW_GATE(gate) false
constexpr bool attached() noexcept
{
    return false;
}
constexpr bool watched() noexcept
{
    return false;
}
constexpr bool traced() noexcept
{
    return false;
}
constexpr bool debugged() noexcept
{
    return false;
}
inline void listen(bool, bool = false) noexcept
{
}

#endif

// Compiled out, the arguments are not even evaluated into registers: the call is an empty inline function.
#ifndef LOOPWATCH_NO_PROBES
#define LW_FIRE(gate, name, ...) \
    if (LW_GATE(gate)) site::name(__VA_ARGS__)
#else
#define LW_FIRE(gate, name, ...) (void)0
#endif

#define LW_PROBE1(id, gate, name, a, doc)           \
    template <class A>                              \
    inline void name([[maybe_unused]] A a) noexcept \
    {                                               \
        LW_FIRE(gate, name, detail::word(a));       \
    }
#define LW_PROBE2(id, gate, name, a, b, doc)                              \
    template <class A, class B>                                           \
    inline void name([[maybe_unused]] A a, [[maybe_unused]] B b) noexcept \
    {                                                                     \
        LW_FIRE(gate, name, detail::word(a), detail::word(b));            \
    }
#define LW_PROBE3(id, gate, name, a, b, c, doc)                                                 \
    template <class A, class B, class C>                                                        \
    inline void name([[maybe_unused]] A a, [[maybe_unused]] B b, [[maybe_unused]] C c) noexcept \
    {                                                                                           \
        LW_FIRE(gate, name, detail::word(a), detail::word(b), detail::word(c));                 \
    }
#define LW_PROBE4(id, gate, name, a, b, c, d, doc)                                                                    \
    template <class A, class B, class C, class D>                                                                     \
    inline void name([[maybe_unused]] A a, [[maybe_unused]] B b, [[maybe_unused]] C c, [[maybe_unused]] D d) noexcept \
    {                                                                                                                 \
        LW_FIRE(gate, name, detail::word(a), detail::word(b), detail::word(c), detail::word(d));                      \
    }
#define LW_PROBE5(id, gate, name, a, b, c, d, e, doc)                                                             \
    template <class A, class B, class C, class D, class E>                                                        \
    inline void name([[maybe_unused]] A a, [[maybe_unused]] B b, [[maybe_unused]] C c, [[maybe_unused]] D d,      \
                     [[maybe_unused]] E e) noexcept                                                               \
    {                                                                                                             \
        LW_FIRE(gate, name, detail::word(a), detail::word(b), detail::word(c), detail::word(d), detail::word(e)); \
    }
#include <loopwatch/probes.def>

#undef LW_FIRE
#undef LW_GATE

}  // namespace loopwatch::probe

#ifndef LOOPWATCH_NO_PROBES
#undef LW_SITE
#undef LW_SITE_NOP
#undef LW_THUNK
#endif
#undef LW_STRING
#undef LW_STRING_
