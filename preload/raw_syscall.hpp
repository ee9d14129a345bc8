// SPDX-License-Identifier: Apache-2.0
//
// A system call without libc: libc's syscall() is out of reach before relocation, and sets errno.
#pragma once

#include <cerrno>
#include <cstdint>
#include <initializer_list>

#include <sys/syscall.h>

namespace loopwatch::preload {

// What the kernel returns: -errno on failure.
inline long raw_syscall(long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0, std::uint64_t d = 0,
                        std::uint64_t e = 0, std::uint64_t f = 0)
{
    register std::uint64_t r10 asm("r10") = d;
    register std::uint64_t r8 asm("r8") = e;
    register std::uint64_t r9 asm("r9") = f;
    long result;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return result;
}

// The kernel answers for the program which system calls are made, maybe with its end: by the program's own wish, or by
// that of whoever has started it. The shim makes none of its own then.
inline constinit bool sandboxed = false;

void syscall_without_row();

// One of own_syscalls.def, or it is no constant expression.
struct OwnSyscall {
    long number;
    consteval OwnSyscall(long wanted) : number(wanted)
    {
        for (const long row : {
#define LW_OWN_SYSCALL(name) long{SYS_##name},
#include "own_syscalls.def"
             })
            if (row == wanted) return;
        syscall_without_row();
    }
};

// A system call of the shim's own; -EPERM if it may make none.
inline long own_syscall(OwnSyscall call, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                        std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0)
{
    return __atomic_load_n(&sandboxed, __ATOMIC_RELAXED) ? -EPERM : raw_syscall(call.number, a, b, c, d, e, f);
}

}  // namespace loopwatch::preload
