// SPDX-License-Identifier: Apache-2.0
#include "sandbox.hpp"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sys/syscall.h>

#include "proc_lines.hpp"
#include "raw_syscall.hpp"
#include "ring.hpp"
#include "shim_state.hpp"
#include "standalone.hpp"

namespace loopwatch::preload {
namespace {

// What follows these words at the beginning of a line; null: it begins otherwise.
const char* after(const char* line, const char* words)
{
    for (; *words != '\0'; ++line, ++words)
        if (*line != *words) return nullptr;
    return line;
}

unsigned number_at(const char* text)
{
    unsigned value = 0;
    for (; *text >= '0' && *text <= '9'; ++text) value = value * 10 + static_cast<unsigned>(*text - '0');
    return value;
}

// Of a process. Before Linux 5.9 it is not said how many: one, then.
unsigned filters_of(const char* status)
{
    unsigned filters = 0;
    const auto take = [&](const char* line) {
        if (const char* const mode = after(line, "Seccomp:\t")) filters = number_at(mode) != 0 ? 1 : 0;
        const char* const count = after(line, "Seccomp_filters:\t");
        if (count != nullptr && filters != 0) filters = number_at(count);
        return count != nullptr;
    };
    return read_lines(status, take) ? filters : unknown_filters;
}

bool is_there(const char* path)
{
    const long file = own_syscall(SYS_openat, static_cast<std::uint64_t>(AT_FDCWD), word(path), O_RDONLY | O_CLOEXEC);
    if (file >= 0) own_syscall(SYS_close, static_cast<std::uint64_t>(file));
    return file >= 0 || file == -EACCES;
}

// Those that a container's first process has been given: docker's and podman's own refuse calls, and kill nobody.
unsigned filters_of_container()
{
    return is_there("/.dockerenv") || is_there("/run/.containerenv") ? filters_of("/proc/1/status") : 0;
}

}  // namespace

unsigned meet_filters()
{
    const unsigned filters = filters_of("/proc/self/status");
    if (filters == 0) return 0;
    const char* const known = std::getenv(LW_FILTERS_VARIABLE);
    const unsigned harmless = known != nullptr ? number_at(known) : filters_of_container();
    if (harmless >= (filters == unknown_filters ? 1 : filters) && harmless != unknown_filters) return 0;
    __atomic_store_n(&sandboxed, true, __ATOMIC_RELAXED);
    return filters;
}

// The last time for what needs system calls: a lane for the loop that this thread may come to run.
void enter_sandbox()
{
    if (sandboxed || !in_own_process()) return;
    if (ring != nullptr) {
        if (thread.lane == nullptr) claim_lane(nullptr, true);
        if (standalone != Standalone::off) say_sandboxed();
        ring->sandboxed = 1;
    }
    __atomic_store_n(&sandboxed, true, __ATOMIC_RELAXED);
}

}  // namespace loopwatch::preload
