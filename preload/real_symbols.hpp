// SPDX-License-Identifier: Apache-2.0
//
// Addresses of the functions behind ours: resolved by a constructor, or earlier by whoever calls first. What calls
// before that is other libraries' constructors (lazy look-up), their IFUNC resolvers (before this library is relocated:
// no table, no TLS, no libc can be reached) and dlsym itself by way of malloc; the last two get the bare syscall.
#pragma once

#include <cstdint>
#include <type_traits>

namespace loopwatch::preload {

enum class Symbol : unsigned {
#define LW_CALL(kind, call, returns, symbol, ...) symbol##_,
#define LW_NOTE LW_CALL
#include "intercepts.def"
    count
};

// Null until resolved, in .bss and reached relative to the instruction pointer: readable before relocation.
inline constinit void* real_addresses[static_cast<unsigned>(Symbol::count)] = {};

// Where a function comes from that has no system call behind it; as the table's column.
constexpr long of_library = -2;

// The next definition of the symbol; null if this is no time to look for it, or if libc has none. Leaves errno alone.
void* resolve(Symbol symbol);

// The row's syscall, failing as libc does; fails with ENOSYS if it has none.
long bare_syscall(Symbol symbol, const std::uint64_t (&args)[7]);

template <class T>
std::uint64_t word(T value)
{
    if constexpr (std::is_pointer_v<T>)
        return reinterpret_cast<std::uint64_t>(value);
    else
        return static_cast<std::uint64_t>(value);
}

// The definition which the code that contains this address is linked to, where that is no business of the rest of the
// program: a plugin, loaded with RTLD_LOCAL, and its libraries. Leaves errno alone.
[[gnu::cold, gnu::noinline]] void* resolve_for(Symbol symbol, const void* caller);

// For the code that calls; null: not known yet.
template <class Function, long syscall>
[[gnu::always_inline]] inline Function* real(Symbol symbol, [[maybe_unused]] const void* caller)
{
    void* address = __atomic_load_n(&real_addresses[static_cast<unsigned>(symbol)], __ATOMIC_RELAXED);
    if constexpr (syscall == of_library)
        if (address == nullptr) [[unlikely]]
            address = resolve_for(symbol, caller);
    return reinterpret_cast<Function*>(address);
}

template <Symbol symbol, class Result, class... Args>
[[gnu::cold, gnu::noinline]] Result call_early(Args... args)
{
    if (void* address = resolve(symbol)) return reinterpret_cast<Result (*)(Args...)>(address)(args...);
    const long result = bare_syscall(symbol, {word(args)...});
    if constexpr (std::is_pointer_v<Result>)
        return nullptr;
    else if constexpr (!std::is_void_v<Result>)
        return static_cast<Result>(result);
}

}  // namespace loopwatch::preload
