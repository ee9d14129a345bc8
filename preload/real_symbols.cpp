// SPDX-License-Identifier: Apache-2.0
#include "real_symbols.hpp"

#include <cerrno>

#include <dlfcn.h>
#include <sys/syscall.h>

#include "raw_syscall.hpp"
#include "shim_state.hpp"

namespace loopwatch::preload {
namespace {

struct Row {
    const char* name;
    const char* version;  // null: whichever is the default
    long syscall;
};

#define ANY nullptr
#define GLIBC_2_3 "GLIBC_2.3"
#define GLIBC_2_3_2 "GLIBC_2.3.2"
#define GLIBC_2_15 "GLIBC_2.15"
const Row rows[] = {
#define LW_CALL(kind, call, returns, symbol, parameters, arguments, version, syscall, ...) {#symbol, version, syscall},
#define LW_NOTE LW_CALL
#include "intercepts.def"
};
#undef ANY
#undef GLIBC_2_3
#undef GLIBC_2_3_2
#undef GLIBC_2_15

// Holds its own address once ld.so has relocated this library; volatile, or the compiler would know the answer.
const volatile void* const volatile self = &self;
bool relocated()
{
    return self == &self;
}

// RTLD_NEXT, so that a sanitizer's or another preload's wrapper behind ours is kept in the chain.
void* look_up(const Row& row)
{
    void* found = row.version != nullptr ? dlvsym(RTLD_NEXT, row.name, row.version) : nullptr;
    if (found == nullptr) found = dlsym(RTLD_NEXT, row.name);
    if (found == nullptr) dlerror();  // ours to take: the program must not find it
    return found;
}

// Calls whose function was found by who calls: written once, never forgotten. The library stays loaded when the plugin
// goes, so that a call from where another plugin is by then still leads to code.
struct CallSite {
    const void* caller;  // null: free
    void* address;       // null: not known yet
};
constinit CallSite sites[64] = {};
constexpr unsigned tries = 4;

CallSite& site_at(const void* caller, unsigned attempt)
{
    return sites[(word(caller) / 4 + attempt) % (sizeof sites / sizeof *sites)];
}

void* known_for(const void* caller)
{
    for (unsigned i = 0; i < tries; ++i)
        if (CallSite& site = site_at(caller, i); __atomic_load_n(&site.caller, __ATOMIC_RELAXED) == caller)
            return __atomic_load_n(&site.address, __ATOMIC_RELAXED);
    return nullptr;
}

void remember(const void* caller, void* address)
{
    for (unsigned i = 0; i < tries; ++i) {
        CallSite& site = site_at(caller, i);
        const void* free = nullptr;
        if (!__atomic_compare_exchange_n(&site.caller, &free, caller, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
            free != caller)
            continue;
        return __atomic_store_n(&site.address, address, __ATOMIC_RELAXED);
    }
}

// In the caller's own library and those that it is linked to, ours not among them.
void* look_up_for(const Row& row, const void* caller)
{
    Dl_info of_caller, found;
    if (dladdr(caller, &of_caller) == 0 || of_caller.dli_fname == nullptr) return nullptr;
    void* const library = dlopen(of_caller.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) return nullptr;
    void* address = dlsym(library, row.name);
    if (address != nullptr &&
        (dladdr(address, &found) == 0 || dlopen(found.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) == nullptr))
        address = nullptr;
    dlclose(library);
    return address;
}

// Before the shim's other constructors, which make calls.
[[gnu::constructor(101)]] void resolve_all()
{
    for (unsigned i = 0; i < static_cast<unsigned>(Symbol::count); ++i) {
        if (real_addresses[i] == nullptr) resolve(static_cast<Symbol>(i));
    }
}

}  // namespace

void* resolve(Symbol symbol)
{
    const Row& row = rows[static_cast<unsigned>(symbol)];
    if (!relocated() || (thread.resolving && row.syscall >= 0)) return nullptr;
    const int error = errno;
    const bool nested = thread.resolving;
    thread.resolving = true;
    void* address = look_up(row);
    thread.resolving = nested;
    errno = error;
    __atomic_store_n(&real_addresses[static_cast<unsigned>(symbol)], address, __ATOMIC_RELAXED);
    return address;
}

void* resolve_for(Symbol symbol, const void* caller)
{
    if (void* address = known_for(caller)) return address;
    if (void* address = resolve(symbol)) return address;
    if (!relocated() || thread.resolving) return nullptr;
    const int error = errno;
    thread.resolving = true;
    void* address = look_up_for(rows[static_cast<unsigned>(symbol)], caller);
    if (address == nullptr) dlerror();
    if (address != nullptr) remember(caller, address);
    thread.resolving = false;
    errno = error;
    return address;
}

long bare_syscall(Symbol symbol, const std::uint64_t (&args)[7])
{
    const long number = rows[static_cast<unsigned>(symbol)].syscall;
    if (number == of_library) return -ENOSYS;
    const long result =
        number < 0 ? -ENOSYS : raw_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    constexpr long last_error = -4095;  // the kernel's MAX_ERRNO
    if (result >= 0 || result < last_error) return result;
    if (relocated()) errno = static_cast<int>(-result);
    return -1;
}

}  // namespace loopwatch::preload
