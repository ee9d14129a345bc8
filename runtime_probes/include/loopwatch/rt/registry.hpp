// SPDX-License-Identifier: Apache-2.0
//
// Where outsiders find the loops of a process: one `lw_registry` a DSO, reached through an allocated ELF note, which
// survives `strip -s` (a symbol does not) and is not touched by tracers (a semaphore field is: any tracer increments
// it). Depends on loop_state.h only, so a runtime of your own includes it, fills a slot and brackets its loop with
// registry_add and registry_remove.
//
//   note        section .note.loopwatch, owner "loopwatch", type 1
//   descriptor  u32 LW_ABI, u32 0, s64 distance from the s64 itself to the registry (no relocation: works in every PIE
//   and DSO)
#pragma once

#include <atomic>
#include <mutex>

#include <pthread.h>

#include <loopwatch/loop_state.h>

extern "C" {
// `used`, or LTO gives it a local name that the note below cannot speak of.
__attribute__((visibility("hidden"), used)) inline lw_registry loopwatch_registry = {LW_SLOT_MAGIC, LW_ABI, 0, nullptr};
}

namespace loopwatch {

namespace detail {

// Writers only; outsiders read without it and expect torn values.
__attribute__((visibility("hidden"))) inline std::mutex registry_mutex;

// Set in the child of a fork, where the parent's semaphores were inherited but nobody watches: no probe fires until a
// loop is run anew.
inline std::atomic<bool> forked{false};

// Holding the mutex over the fork keeps the child from inheriting a list in the middle of a change.
__attribute__((visibility("hidden"))) inline void drop_loops_after_fork()
{
    [[maybe_unused]] static const int installed =
        pthread_atfork([] { registry_mutex.lock(); }, [] { registry_mutex.unlock(); },
                       [] {
                           loopwatch_registry.loops = nullptr;
                           forked = true;
                           registry_mutex.unlock();
                       });
}

}  // namespace detail

// Publishes the slot; its identity (magic, abi, size, name, loop_id, tid) must be filled in. The note stands in this
// function, in its section group: it is linked exactly where a registry is in use, and once. The .ifndef is for LTO,
// which may assemble several copies into one object.
__attribute__((noinline, used, visibility("hidden"))) inline void registry_add(lw_loop_slot& slot)
{
    asm volatile(
        ".ifndef _.loopwatch.note\n"
        ".pushsection .note.loopwatch,\"a?\",@note\n"
        ".balign 4\n _.loopwatch.note:\n .4byte 2f-1f, 4f-3f, 1\n"
        "1: .asciz \"loopwatch\"\n 2: .balign 4\n"
        "3: .4byte %c0, 0\n"
        "5: .8byte loopwatch_registry - 5b\n"
        "4: .balign 4\n"
        ".popsection\n"
        ".endif\n" ::"i"(LW_ABI));
    detail::drop_loops_after_fork();
    const std::lock_guard lock(detail::registry_mutex);
    slot.next = loopwatch_registry.loops;
    loopwatch_registry.loops = &slot;
}

// Withdraws the slot; does nothing if it is not there (after a fork).
inline void registry_remove(lw_loop_slot& slot)
{
    const std::lock_guard lock(detail::registry_mutex);
    for (lw_loop_slot** link = &loopwatch_registry.loops; *link != nullptr; link = &(*link)->next) {
        if (*link != &slot) continue;
        *link = slot.next;
        break;
    }
    slot.next = nullptr;
}

}  // namespace loopwatch
