// SPDX-License-Identifier: Apache-2.0
//
// One wrapper a row. Off loop threads: the address, one TLS load, a branch, a tail call. On a loop thread, in a
// dispatch, with somebody attached: two clock reads around the real call, and a report if it took longer than the
// floor.
//
// Wrappers have names of their own and get libc's by an asm label, so that libc's headers (their noexcept, fortified
// inlines, nonnull attributes, large-file renames) have no say. None is noexcept: pthread_cancel unwinds through these
// frames.
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <ctime>
#include <type_traits>

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>

#include "own_loops.hpp"
#include "real_symbols.hpp"
#include "report.hpp"
#include "ring.hpp"
#include "sandbox.hpp"
#include "shim_state.hpp"

// Called by the unwinder for each frame of a measuring wrapper that an exception or a cancellation passes (Itanium C++
// ABI, Level I: "personality routine"). The frame has nothing to run but this, so it needs no landing pad, and none of
// the two libraries (libgcc_s, libstdc++) that the compiler's own clean-ups would drag into the process.
extern "C" [[gnu::visibility("hidden"), gnu::used]] int lw_on_unwind(int, int actions, std::uint64_t, void*,
                                                                     void*) noexcept
{
    constexpr int cleanup_phase = 2;    // _UA_CLEANUP_PHASE
    constexpr int continue_unwind = 8;  // _URC_CONTINUE_UNWIND
    if ((actions & cleanup_phase) != 0) loopwatch::preload::thread.measured_seq = 0;
    return continue_unwind;
}
// 0x1b: relative to the instruction pointer, 4 bytes.
#define LW_ON_UNWIND asm volatile(".cfi_personality 0x1b, lw_on_unwind")

namespace loopwatch::preload {
namespace {

struct Nothing {};

// Calls, and tells of it if it was slow.
template <std::size_t n, class Call, class Describe>
[[gnu::always_inline]] inline auto measure(const char (&name)[n], const void* caller, Call call, Describe describe)
{
    using Result = std::invoke_result_t<Call>;
    LW_ON_UNWIND;
    const lw_loop_slot* const slot = thread.slot;
    thread.measured_seq = slot->seq;
    const std::uint64_t start_ns = now_ns();
    lw_lane* const lane = thread.lane;
    if (lane != nullptr) [[unlikely]]
        begin_ongoing(*lane, name, caller, start_ns, slot->seq);
    std::conditional_t<std::is_void_v<Result>, Nothing, Result> result;
    if constexpr (std::is_void_v<Result>)
        call();
    else
        result = call();
    const int error = errno;
    const std::uint64_t end_ns = now_ns();
    // A signal handler, or the call itself, may have forked: the child has no loop, and no ring to which this lane
    // belongs.
    const bool same = thread.slot == slot && (lane == nullptr || in_own_process());
    if (same && end_ns - start_ns >= floor_ns(slot)) [[unlikely]] {
        report(name, caller, {start_ns, end_ns}, describe(result));
    }
    // Only now: who looks finds the call as one that goes on, as one that has ended, or as both.
    if (same && lane != nullptr && thread.lane == lane) [[unlikely]]
        end_ongoing(*lane, end_ns);
    thread.measured_seq = 0;
    errno = error;
    if constexpr (!std::is_void_v<Result>) return result;
}

}  // namespace

// Two functions a row, so that the compiler sets up no frame before it is known that one is needed (shrink-wrapping
// failed: 14 pushes and pops on the fast path). timed_ takes the wrapper's parameters, hence can be reached by a jump,
// which leaves the caller's return address where it was.
#define LW_TIMED(call, returns, symbol, parameters, arguments, syscall, ...)                                      \
    static returns timed_##symbol parameters asm("lw_timed_" #symbol);                                            \
    [[gnu::noinline]] returns timed_##symbol parameters                                                           \
    {                                                                                                             \
        auto* const function = real<returns parameters, syscall>(Symbol::symbol##_, __builtin_return_address(0)); \
        return measure(                                                                                           \
            #call, __builtin_return_address(0), [&] { return function arguments; },                               \
            [&]([[maybe_unused]] auto result) { return CallDetail{__VA_ARGS__}; });                               \
    }                                                                                                             \
    extern "C" [[gnu::visibility("default")]] returns lw_##symbol parameters asm(#symbol);
#define LW_ENTRY(returns, symbol, parameters, arguments, syscall, elsewhere)                                      \
    returns lw_##symbol parameters                                                                                \
    {                                                                                                             \
        auto* const function = real<returns parameters, syscall>(Symbol::symbol##_, __builtin_return_address(0)); \
        if (function == nullptr) [[unlikely]]                                                                     \
            return call_early<Symbol::symbol##_, returns> arguments;                                              \
        const lw_loop_slot* const slot = thread.slot;                                                             \
        elsewhere if (slot == nullptr || !to_be_measured(slot)) [[likely]] return function arguments;             \
        return timed_##symbol arguments;                                                                          \
    }
#define LW_CALL(kind, call, returns, symbol, parameters, arguments, version, syscall, ...) \
    LW_TIMED(call, returns, symbol, parameters, arguments, syscall, __VA_ARGS__)           \
    LW_ENTRY(returns, symbol, parameters, arguments, syscall, )
// A wait for events may be where a loop idles. Of a loop that says itself where it does it is a call like any other.
#define LW_WAIT(kind, call, returns, symbol, parameters, arguments, version, syscall, object, ...)                \
    LW_TIMED(call, returns, symbol, parameters, arguments, syscall, __VA_ARGS__)                                  \
    static returns waited_##symbol parameters asm("lw_waited_" #symbol);                                          \
    [[gnu::noinline]] returns waited_##symbol parameters                                                          \
    {                                                                                                             \
        auto* const function = real<returns parameters, syscall>(Symbol::symbol##_, __builtin_return_address(0)); \
        const Place place = {word(__builtin_return_address(0)), word(__builtin_dwarf_cfa()), object};             \
        const Wait wait = enter_wait(place);                                                                      \
        if (wait == Wait::nested && to_be_measured(thread.slot)) return timed_##symbol arguments;                 \
        if (wait != Wait::idle) return function arguments;                                                        \
        const auto result = function arguments;                                                                   \
        leave_wait();                                                                                             \
        return result;                                                                                            \
    }                                                                                                             \
    LW_ENTRY(returns, symbol, parameters, arguments, syscall,                                                     \
             if constexpr (Symbol::symbol##_ == Symbol::syscall_) note_sandbox arguments;                         \
             if (may_idle(slot)) [[unlikely]] return waited_##symbol arguments;)
#define LW_NOTE(kind, call, returns, symbol, parameters, arguments, version, syscall, note)   \
    extern "C" [[gnu::visibility("default")]] returns lw_##symbol parameters asm(#symbol);    \
    returns lw_##symbol parameters                                                            \
    {                                                                                         \
        auto* const function = real<returns parameters, syscall>(Symbol::symbol##_, nullptr); \
        if (function == nullptr) [[unlikely]]                                                 \
            return call_early<Symbol::symbol##_, returns> arguments;                          \
        note;                                                                                 \
        return function arguments;                                                            \
    }
#include "intercepts.def"

}  // namespace loopwatch::preload
