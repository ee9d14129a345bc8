// SPDX-License-Identifier: Apache-2.0
#include "command/core_confinement.hpp"

#include <linux/capability.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "stack/confinement.hpp"
#include "util/fd.hpp"

namespace loopwatch {

namespace {

using Capabilities = std::uint64_t;  // a bit each

constexpr Capabilities bit(unsigned capability)
{
    return Capabilities(1) << capability;
}

enum Need : unsigned { always = 1, observing = 2, attaching = 4, late_files = 8 };

// And what each is for.
constexpr struct {
    unsigned capability;
    unsigned needed_for;
} kept[] = {
    {CAP_SYS_PTRACE, always},          // memory, maps, files and root of other users' processes
    {CAP_DAC_READ_SEARCH, always},     // their programs, libraries and debug files
    {CAP_KILL, always},                // the worker is another user, a program that was started may become one
    {CAP_CHECKPOINT_RESTORE, always},  // /proc/PID/map_files: files that were deleted or replaced
    {CAP_SYS_NICE, observing},         // the worker gets its priority back at the end
    {CAP_BPF, attaching},
    {CAP_PERFMON, attaching},        // probes and samples of processes that come later
    {CAP_SYSLOG, attaching},         // addresses in /proc/kallsyms
    {CAP_DAC_OVERRIDE, late_files},  // in a directory of whoever called sudo
    {CAP_CHOWN, late_files},         // and theirs
};

unsigned needs_of(CoreWork work, bool writes_files_later)
{
    const unsigned files = writes_files_later ? static_cast<unsigned>(late_files) : 0u;
    switch (work) {
        case CoreWork::kernel_side: return always | observing | attaching | files;
        case CoreWork::shims: return always | observing | files;
        case CoreWork::daemon: return always | observing | attaching | files;
    }
    return always;
}

Capabilities permitted()
{
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    ::syscall(SYS_capget, &header, data);
    return data[0].permitted | Capabilities(data[1].permitted) << 32;
}

bool set_capabilities(Capabilities permitted, Capabilities effective)
{
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    for (int word = 0; word < 2; ++word) {
        data[word].permitted = static_cast<std::uint32_t>(permitted >> (32 * word));
        data[word].effective = static_cast<std::uint32_t>(effective >> (32 * word));
    }
    return ::syscall(SYS_capset, &header, data) == 0;
}

// Kernels of some distributions have a perf_event_paranoid of 3 and more, with which CAP_PERFMON is not enough.
bool perf_needs_admin()
{
    int paranoid = 0;
    if (!(std::ifstream("/proc/sys/kernel/perf_event_paranoid") >> paranoid) || paranoid < 3) return false;
    perf_event_attr attr = {};
    attr.size = sizeof attr;
    attr.type = PERF_TYPE_SOFTWARE;
    attr.config = PERF_COUNT_SW_DUMMY;
    const Fd event(static_cast<int>(::syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
    return !event;
}

Result<void> drop_capabilities(unsigned needs)
{
    Capabilities wanted = 0;
    for (const auto& [capability, needed_for] : kept)
        if (needed_for & needs) wanted |= bit(capability);
    const Capabilities before = permitted();
    ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if ((needs & attaching) && (before & bit(CAP_SYS_ADMIN)) && set_capabilities(before, before & wanted) &&
        perf_needs_admin())
        wanted |= bit(CAP_SYS_ADMIN);
    // Takes CAP_SETPCAP, which a user's loopwatch may not have.
    if (before & bit(CAP_SETPCAP)) {
        if (!set_capabilities(before, before)) return errno_error(ExitCode::failed, "capset");
        for (unsigned capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
            if (!(wanted & bit(capability))) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    }
    if (!set_capabilities(before & wanted, before & wanted)) return errno_error(ExitCode::failed, "capset");
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno_error(ExitCode::failed, "PR_SET_NO_NEW_PRIVS");
    return {};
}

constexpr int refused[] = {
    // To run something else.
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    // To change other processes.
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd),
    // To talk to others. A daemon's socket listens already: accept4() is what it takes.
    SCMP_SYS(socket),
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    // To change the machine.
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(quotactl),
    SCMP_SYS(quotactl_fd),
    SCMP_SYS(syslog),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(mknod),
    SCMP_SYS(mknodat),
    // To see another machine, or to be somebody else.
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fsmount),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setreuid),
    SCMP_SYS(setregid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(setgroups),
    SCMP_SYS(setfsuid),
    SCMP_SYS(setfsgid),
    SCMP_SYS(capset),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
    // To get around this, or into the kernel by its larger doors.
    SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(fanotify_init),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(personality),
    SCMP_SYS(pkey_mprotect),
    SCMP_SYS(vmsplice),
};

constexpr int highest_call = 1023;

// An allow-list of single calls would break with each version of libc, libbpf and libstdc++, on a path that is rarely
// taken, as a finding that is lacking. So what is known and not refused is allowed. What libseccomp does not know yet
// does not exist (ENOSYS), which libc takes for an older kernel. EPERM and not the end: a library that tries is
// content.
bool filter_core(CoreWork work)
{
    const scmp_filter_ctx filter = ::seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    if (filter == nullptr) return false;
    bool done = ::seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) == 0;
    const auto add = [&](std::uint32_t action, int call, auto... conditions) {
        done = done && ::seccomp_rule_add(filter, action, call, sizeof...(conditions), conditions...) == 0;
    };
    const auto is_refused = [work](int call) {
        const bool answers = work == CoreWork::daemon && call == SCMP_SYS(accept4);
        return !answers && std::ranges::count(refused, call) != 0;
    };
    for (const int call : refused)
        if (call >= 0 && is_refused(call)) add(SCMP_ACT_ERRNO(EPERM), call);  // below 0: this architecture has none
    for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)}) {
        add(SCMP_ACT_ALLOW, call, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        add(SCMP_ACT_ERRNO(EPERM), call, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
    }
    // A thread, no process; clone3's arguments cannot be looked at, so that it does not exist.
    add(SCMP_ACT_ALLOW, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    for (int call = 0; call <= highest_call; ++call) {
        char* const name = ::seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
        const bool has_rule = is_refused(call) || call == SCMP_SYS(mmap) || call == SCMP_SYS(mprotect) ||
                              call == SCMP_SYS(clone) || call == SCMP_SYS(clone3);
        if (name != nullptr && !has_rule) add(SCMP_ACT_ALLOW, call);
        std::free(name);
    }
    done = done && ::seccomp_load(filter) == 0;
    ::seccomp_release(filter);
    return done;
}

}  // namespace

Result<void> confine_core(CoreWork work, bool writes_files_later)
{
    if (auto dropped = drop_capabilities(needs_of(work, writes_files_later)); !dropped) return dropped;
    if (!sanitized && can_filter_system_calls() && !filter_core(work))
        return Error{ExitCode::failed, "its system calls could not be filtered", {}};
    return {};
}

}  // namespace loopwatch
