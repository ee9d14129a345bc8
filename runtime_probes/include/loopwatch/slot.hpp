// SPDX-License-Identifier: Apache-2.0
//
// What every loop does with its slot, whoever wrote the loop: ids, identity, the floor, and the shim in the process.
// Depends on nothing but libc, builds with g++ and clang++ from C++17 on.
#pragma once

#include <atomic>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <time.h>

#include <loopwatch/loop_state.h>

namespace loopwatch {

namespace detail {
// Ids given out in this process; of all its loops and tasks, whatever runtime is theirs.
inline std::atomic<lw_u64> last_loop_id{0}, last_task_id{0};
// How many loops this thread runs, one within the other: handlers of one that another drives are no loop of their own.
inline thread_local int loops_of_thread = 0;
}  // namespace detail

inline lw_u64 next_loop_id() noexcept
{
    return detail::last_loop_id.fetch_add(1, std::memory_order_relaxed) + 1;
}
inline lw_u64 next_task_id() noexcept
{
    return detail::last_task_id.fetch_add(1, std::memory_order_relaxed) + 1;
}

inline lw_u64 now_ns(clockid_t clock = CLOCK_MONOTONIC) noexcept
{
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<lw_u64>(now.tv_sec) * 1'000'000'000u + static_cast<lw_u64>(now.tv_nsec);
}
// Four milliseconds are close enough for an age, and half as dear as a good clock.
inline lw_u64 coarse_now_ns() noexcept
{
    return now_ns(CLOCK_MONOTONIC_COARSE);
}

// "50us", "1.5ms" → nanoseconds; 0 if it is not a duration.
inline lw_u64 parse_duration_ns(const char* text) noexcept
{
    char* unit = nullptr;
    const double value = std::strtod(text, &unit);
    const double scale = std::strcmp(unit, "ns") == 0   ? 1
                         : std::strcmp(unit, "us") == 0 ? 1e3
                         : std::strcmp(unit, "ms") == 0 ? 1e6
                         : std::strcmp(unit, "s") == 0  ? 1e9
                                                        : 0;
    const double ns = value * scale;
    return ns >= 1 && ns < 1e18 ? static_cast<lw_u64>(ns) : 0;
}

// Dispatches longer than this are told of: LOOPWATCH_FLOOR, or 100 us.
inline lw_u64 configured_floor_ns() noexcept
{
    constexpr lw_u64 default_floor_ns = 100'000;
    const char* const text = std::getenv("LOOPWATCH_FLOOR");
    const lw_u64 floor_ns = text == nullptr ? 0 : parse_duration_ns(text);
    return floor_ns == 0 ? default_floor_ns : floor_ns;
}

// Fills in who the loop is; `name` must live as long as the slot.
inline void identify(lw_loop_slot& slot, const char* name) noexcept
{
    slot.magic = LW_SLOT_MAGIC;
    slot.abi = LW_ABI;
    slot.size = sizeof slot;
    slot.name = name;
    slot.loop_id = next_loop_id();
    slot.floor_ns = configured_floor_ns();
}

// The slot is about to go: who looks there later finds none. Volatile, or nobody would store into what is dying.
inline void withdraw(lw_loop_slot& slot) noexcept
{
    *const_cast<volatile lw_u64*>(&slot.magic) = 0;
}

// This thread begins to run the loop, or (null) ends: the shim looks at its calls from here on.
inline void tell_shim(const lw_loop_slot* slot) noexcept
{
    if (void* const symbol = dlsym(RTLD_DEFAULT, LW_REGISTER_SYMBOL))
        reinterpret_cast<lw_shim_register_fn*>(symbol)(slot);
}

// Who listens within the process; null: nobody.
inline const lw_listener* find_listener() noexcept
{
    void* const symbol = dlsym(RTLD_DEFAULT, LW_LISTENER_SYMBOL);
    const auto* const found = symbol != nullptr ? reinterpret_cast<lw_shim_listener_fn*>(symbol)() : nullptr;
    return found != nullptr && found->abi == LW_ABI && found->size >= sizeof *found ? found : nullptr;
}

}  // namespace loopwatch
