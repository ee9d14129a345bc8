// SPDX-License-Identifier: Apache-2.0
#include "util/priority.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace loopwatch {

namespace {

constexpr std::uint64_t slice_ns = 100'000;  // the least that the kernel takes
constexpr int without_slices = -10;

// glibc has neither the calls nor this (sched_setattr(2)), and the kernel's header clashes with <sched.h>.
struct SchedAttr {
    std::uint32_t size = sizeof(SchedAttr);
    std::uint32_t policy = 0;  // SCHED_OTHER
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0;  // the slice
    std::uint64_t deadline = 0, period = 0;
};
constexpr std::uint64_t reset_on_fork = 1;

bool set_attributes(pid_t tid, const SchedAttr& attributes)
{
    return ::syscall(SYS_sched_setattr, tid, &attributes, 0) == 0;
}

bool get_attributes(pid_t tid, SchedAttr& attributes)
{
    return ::syscall(SYS_sched_getattr, tid, &attributes, sizeof attributes, 0) == 0;
}

}  // namespace

void run_promptly(pid_t tid, int nicer)
{
    static const int started_with = ::getpriority(PRIO_PROCESS, 0);
    SchedAttr wanted, present;
    // Whoever started us with another policy (chrt) wants that one.
    if (!get_attributes(tid, present) || present.policy != wanted.policy) return;
    wanted.flags = reset_on_fork;
    wanted.nice = std::min(started_with + nicer, 19);
    wanted.runtime = slice_ns;
    if (!set_attributes(tid, wanted)) return;
    // Kernels without slices take the value and do not keep it.
    const bool kept = get_attributes(tid, present) && present.runtime == slice_ns;
    if (kept || nicer > 0) return;
    wanted.nice = std::max(-20, started_with + without_slices);
    (void)set_attributes(tid, wanted);
}

}  // namespace loopwatch
