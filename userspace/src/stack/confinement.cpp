// SPDX-License-Identifier: Apache-2.0
#include "stack/confinement.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace loopwatch {
namespace {

constexpr rlim_t address_space_bytes = 1ull << 30;
// Nobody else's: whoever has the same may send signals. A user namespace that does not map it has nobody (65534).
constexpr uid_t own_uid = 2'147'418'112, nobody = 65534;

// What the worker's work comes down to: reading descriptors it was sent, talking on its socket, memory, and ending.
constexpr int allowed[] = {
    SCMP_SYS(read),          SCMP_SYS(pread64),    SCMP_SYS(readv),
    SCMP_SYS(preadv),        SCMP_SYS(lseek),      SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),    SCMP_SYS(statx),  // of a descriptor
    SCMP_SYS(sendmsg),       SCMP_SYS(recvmsg),    SCMP_SYS(poll),
    SCMP_SYS(ppoll),         SCMP_SYS(close),      SCMP_SYS(fcntl),
    SCMP_SYS(dup),  // libelf's
    SCMP_SYS(munmap),        SCMP_SYS(mremap),     SCMP_SYS(brk),
    SCMP_SYS(madvise),       SCMP_SYS(futex),      SCMP_SYS(getpid),
    SCMP_SYS(gettid),        SCMP_SYS(tgkill),     SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),  // abort
    SCMP_SYS(clock_gettime), SCMP_SYS(getrandom),  SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),          SCMP_SYS(exit_group),
};

// What the zygote needs beside: to fork in one way, and what a worker does before its own filter is in force.
constexpr int allowed_to_zygote[] = {SCMP_SYS(prctl), SCMP_SYS(seccomp), SCMP_SYS(dup2), SCMP_SYS(getppid),
                                     SCMP_SYS(sendto)};

void limit(__rlimit_resource resource, rlim_t most)
{
    const rlimit value = {most, most};
    ::setrlimit(resource, &value);
}

// All else answers EPERM: libraries that look for a file find none and go on.
bool filter_system_calls(bool is_zygote)
{
    scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == nullptr) return false;
    bool done = true;
    for (const int call : allowed) done = done && ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0;
    // Memory, but none that could be run.
    for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)})
        done =
            done && ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
    if (is_zygote) {
        for (const int call : allowed_to_zygote)
            done = done && ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0;
        done = done && ::seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                          SCMP_A0(SCMP_CMP_EQ, worker_clone_flags)) == 0;
    }
    done = done && ::seccomp_load(filter) == 0;
    ::seccomp_release(filter);
    return done;
}

bool become(uid_t uid)
{
    return ::setgroups(0, nullptr) == 0 && ::setresgid(uid, uid, uid) == 0 && ::setresuid(uid, uid, uid) == 0;
}

// Leaving uid 0 clears the capabilities; a user's may come from the program's file.
bool give_up_root()
{
    const bool left = ::geteuid() != 0 || become(own_uid) || become(nobody);
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2] = {};
    return left && ::syscall(SYS_capset, &header, none) == 0;
}

// After a change of identity, which clears it; a fork does too.
bool end_with(pid_t parent)
{
    return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent;
}

}  // namespace

bool confine_zygote(pid_t parent)
{
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
    rlimit files = {};
    if (::getrlimit(RLIMIT_NOFILE, &files) == 0) limit(RLIMIT_NOFILE, files.rlim_max);
    if (!sanitized) limit(RLIMIT_AS, address_space_bytes);
    if (!give_up_root() || !end_with(parent)) return false;
    ::prctl(PR_SET_DUMPABLE, 0);
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return false;
    if (!sanitized) filter_system_calls(true);
    return true;
}

bool confine_worker(pid_t parent)
{
    if (!end_with(parent)) return false;
    if (!sanitized) filter_system_calls(false);
    return true;
}

bool can_filter_system_calls()
{
    return ::seccomp_api_get() > 0 && ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

}  // namespace loopwatch
