// SPDX-License-Identifier: Apache-2.0
#include "target/seccomp.hpp"

#include <fmt/format.h>
#include <lw_ring.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "target/process.hpp"

namespace loopwatch {

namespace {

constexpr long shim_calls[] = {
#define LW_OWN_SYSCALL(name) SYS_##name,
#include <own_syscalls.def>
};

unsigned number_after(std::string_view text, std::string_view words, unsigned otherwise)
{
    const auto at = text.find(words);
    unsigned value = otherwise;
    if (at != std::string_view::npos)
        std::from_chars(text.data() + at + words.size(), text.data() + text.size(), value);
    return value;
}

// In a child: each with what no call takes, so that none does anything. Ends it where the filter does.
[[noreturn]] void make_shim_calls()
{
    ::prctl(PR_SET_DUMPABLE, 0);
    for (const long call : shim_calls)
        if (call != SYS_exit_group) ::syscall(call, -1L, 0L, 0L, 0L, 0L, 0L);
    ::_exit(0);
}

bool lives_on()
{
    const pid_t child = ::fork();
    if (child == 0) make_shim_calls();
    int status = 0;
    return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status);
}

}  // namespace

unsigned parse_seccomp_filters(std::string_view status)
{
    return number_after(status, "\nSeccomp:\t", 0) == 0 ? 0 : number_after(status, "\nSeccomp_filters:\t", 1);
}

unsigned own_seccomp_filters()
{
    return parse_seccomp_filters(read_proc(::getpid(), "status").value_or(""));
}

unsigned harmless_seccomp_filters()
{
    if (const char* const known = std::getenv(LW_FILTERS_VARIABLE)) {
        unsigned value = 0;
        std::from_chars(known, known + std::strlen(known), value);
        return value;
    }
    const auto filters = own_seccomp_filters();
    return filters == 0 || lives_on() ? filters : 0;
}

std::string why_shim_is_mute()
{
    if (harmless_seccomp_filters() >= own_seccomp_filters()) return "";
    return "the seccomp filter that loopwatch runs under would end it for system calls of the shim's";
}

}  // namespace loopwatch
