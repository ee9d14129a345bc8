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

long bare_syscall(Symbol symbol, const std::uint64_t (&args)[7])
{
    const long number = rows[static_cast<unsigned>(symbol)].syscall;
    const long result =
        number < 0 ? -ENOSYS : raw_syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    constexpr long last_error = -4095;  // the kernel's MAX_ERRNO
    if (result >= 0 || result < last_error) return result;
    if (relocated()) errno = static_cast<int>(-result);
    return -1;
}

}  // namespace loopwatch::preload
