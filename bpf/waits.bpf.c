// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Where loops without probes wait: the system calls that a loop may idle in, before they are made, each at its own
// tracepoint. Any of them costs every system call of the machine 10 to 40 ns, so they are attached only while a loop is
// so busy that it does not sleep between two polls: else the scheduler sees where iterations end. And, at the attach,
// where threads sleep already.
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lw_unprobed.bpf.h"

static __noinline int loop_waits(struct lw_loop *loop, struct task_struct *task, __u32 tid)
{
    struct lw_unprobed *own = loop->slot ? NULL : unprobed_of(loop);
    if (!own) return 0;
    const struct pt_regs *regs = registers_of(task);
    if (!may_idle(regs)) return 0;
    const __u64 now = bpf_ktime_get_ns();
    if (loop->off != LW_OFF_NOT) came_back_unseen(loop, tid, now);
    const __u32 site = site_of(loop, own, tid, regs, now);
    if (site >= LW_SITES) return 0;
    if (own->sites[site].verdict == LW_VERDICT_IDLE)
        polls(loop, own, tid, site, now);
    else if (own->sites[site].verdict == LW_VERDICT_NONE)
        leaves_unsure(own, site, now, now);
    return 0;
}

SEC("tracepoint/syscalls")
int on_wait(void *ctx)
{
    const __u64 id = bpf_get_current_pid_tgid();
    const __u32 pid = id >> 32, tid = id;
    struct lw_loop *loop = crowd[tid % LW_CROWD] ? bpf_map_lookup_elem(&loops, &tid) : NULL;

    if (!loop && !is_stranger(pid)) {
        count_run(LW_RUN_wait_other);
        return 0;
    }
    count_run(LW_RUN_wait);
    struct task_struct *task = bpf_get_current_task_btf();
    return loop ? loop_waits(loop, task, tid) : stranger_waits(task, pid, tid, 0);
}

SEC("iter/task")
int on_thread(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    struct lw_sleeper sleeper = {};

    if (!task || task->tgid != iterated_pid) return 0;
    const struct pt_regs *regs = registers_of(task);
    sleeper.tid = task->pid;
    sleeper.state = BPF_CORE_READ(task, __state);
    sleeper.syscall = regs->orig_ax;
    sleeper.switches = task->nvcsw;
    sleeper.args[0] = regs->di;
    sleeper.args[1] = regs->si;
    sleeper.args[2] = regs->dx;
    sleeper.args[3] = regs->r10;
    sleeper.args[4] = regs->r8;
    sleeper.args[5] = regs->r9;
    read_registers(&sleeper.registers, regs);
    bpf_seq_write(ctx->meta->seq, &sleeper, sizeof(sleeper));
    return 0;
}
