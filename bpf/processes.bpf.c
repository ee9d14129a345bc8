// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Threads that end, and processes that fork or execute another program: those that are watched, and those of a name.
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lw_blocks.bpf.h"
#include "lw_trace.bpf.h"

static __always_inline void emit_process_event(__u32 kind, __u32 pid, __u32 tid, __u64 flags)
{
    struct lw_event event = {.kind = kind, .size = sizeof(event), .time_ns = bpf_ktime_get_ns()};
    event.pid = pid;
    event.tid = tid;
    emit(&event, sizeof(event), flags);
}

static __always_inline void drop_loop(struct lw_loop *loop, __u32 tid)
{
    send_batch_of(loop);
    forget_loop(loop, tid);
}

#define SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h */

/* With its last thread, whichever that is: that one has left the count by now. */
static __always_inline void note_end(struct task_struct *task)
{
    const __u32 pid = task->tgid;
    if (task->signal->live.counter != 0 || !bpf_map_lookup_elem(&targets, &pid)) return;
    struct lw_ended ended = {};
    ended.event.kind = LW_EVENT_ENDED;
    ended.event.size = sizeof(ended);
    ended.event.time_ns = bpf_ktime_get_ns();
    ended.event.pid = ended.event.tid = pid;
    ended.status = task->signal->flags & SIGNAL_GROUP_EXIT ? task->signal->group_exit_code
                                                           : task->group_leader->exit_code;
    emit(&ended, sizeof(ended), 0);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_sched_process_exit, struct task_struct *task)
{
    const __u32 tid = task->pid;
    note_end(task);
    struct lw_loop *loop = loop_of(tid);
    if (!loop) return 0;
    struct lw_event event = {};
    begin_event(&event, LW_EVENT_EXIT, sizeof(event), loop, tid, bpf_ktime_get_ns());
    drop_loop(loop, tid);
    emit(&event, sizeof(event), 0);
    return 0;
}

static __always_inline bool begins_as_cfg_name(const void *name)
{
    char text[LW_COMM] = {};
    bpf_probe_read_kernel_str(text, sizeof(text), name);
    for (int i = 0; i < LW_COMM - 1; i++) {
        if (text[i] != cfg_name[i]) return false;
        if (text[i] == 0) break;
    }
    return true;
}

/* By its comm or by its program's file. The collector looks at the whole of it. */
static __always_inline bool may_have_cfg_name(struct task_struct *task)
{
    if (!cfg_name[0]) return false;
    return begins_as_cfg_name(task->comm) ||
           begins_as_cfg_name(BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name));
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_sched_process_fork, struct task_struct *parent, struct task_struct *child)
{
    const __u32 pid = parent->tgid;
    if (child->pid != child->tgid) return 0;
    const bool follows = cfg_follow && bpf_map_lookup_elem(&targets, &pid);
    if (!follows && !may_have_cfg_name(child)) return 0;
    emit_process_event(LW_EVENT_CHILD, child->pid, pid, cfg_all_execs ? BPF_RB_NO_WAKEUP : 0);
    return 0;
}

/* Another image may wait at the same addresses, where they are not randomized. */
static long forget_question(struct bpf_map *map, struct lw_site_key *key, struct lw_asked *value, __u32 *pid)
{
    if (value->pid == *pid) bpf_map_delete_elem(map, key);
    return 0;
}

/* All other threads have ended by now, and the one that called execve has taken over the first one's tid. So its loop
 * is the only one that is left, under the tid that it had: which may be that of another process's thread already. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_sched_process_exec, struct task_struct *task, int old_pid)
{
    __u32 pid = task->tgid;
    const __u32 tid = old_pid;
    if (!bpf_map_lookup_elem(&targets, &pid)) {
        if (cfg_all_execs)
            emit_process_event(LW_EVENT_EXEC, pid, tid, BPF_RB_NO_WAKEUP);
        else if (may_have_cfg_name(task))
            emit_process_event(LW_EVENT_EXEC, pid, tid, 0);
        return 0;
    }
    struct lw_loop *loop = loop_of(tid);
    if (loop && loop->pid == pid) drop_loop(loop, tid);
    if (unprobed_pids[pid % LW_CROWD]) bpf_for_each_map_elem(&asked, forget_question, &pid, 0);
    emit_process_event(LW_EVENT_EXEC, pid, tid, 0);
    return 0;
}

static long dismiss_loop(struct bpf_map *map, __u32 *key, struct lw_loop *loop, __u32 *pid)
{
    if (loop->pid == *pid) drop_loop(loop, *key);
    return 0;
}

static long forget_throw(struct bpf_map *map, struct lw_thrown_key *key, __u32 *value, __u32 *pid)
{
    if (key->pid == *pid) bpf_map_delete_elem(map, key);
    return 0;
}

/* Run by the collector: all that is kept of a process is dropped, or of one loop thread, if a tid is given. It may be
 * alive. Here, as the collector could neither see nor change whether a loop is blocked without a race. */
SEC("raw_tp")
int on_dismiss(struct bpf_raw_tracepoint_args *ctx)
{
    __u32 pid = ctx->args[0], tid = ctx->args[1];
    if (tid) {
        struct lw_loop *loop = loop_of(tid);
        if (loop && loop->pid == pid) drop_loop(loop, tid);
        return 0;
    }
    bpf_for_each_map_elem(&loops, dismiss_loop, &pid, 0);
    bpf_for_each_map_elem(&asked, forget_question, &pid, 0);
    bpf_for_each_map_elem(&thrown_objects, forget_throw, &pid, 0);
    return 0;
}
