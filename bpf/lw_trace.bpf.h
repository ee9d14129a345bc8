/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Every probe that is only told of: misuse (rare, always attached) and each step of each task (--trace). Steps of a
 * loop's thread go through its batch (lw_state.h), all else goes into the ring at once. */
#ifndef LW_TRACE_BPF_H
#define LW_TRACE_BPF_H

#include "lw_target.bpf.h"

enum { /* ids of probes.def */
#define LW_PROBE(id, gate, name, count, doc) PROBE_##name = id,
#include <loopwatch/probes.def>
};

#define LW_BATCH_NS 20000000 /* a step waits no longer for the next one; the collector looks as often */
#define LW_BATCH_MOST (LW_BATCH_BYTES - offsetof(struct lw_step, misuse))

/* Which argument of a probe is a string worth carrying. */
static __always_inline __u64 text_argument(const __u64 *args, __u64 probe)
{
    switch (probe) {
        case PROBE_exception_unretrieved:
        case PROBE_task_cancelled:
        case PROBE_task_create:
        case PROBE_cancel_request: return args[2];
        case PROBE_thread_violation:
        case PROBE_resource_leak: return args[1];
        default: return 0;
    }
}

/* And which is a place in the source; of a task with a record, that has it. */
static __always_inline __u64 place_argument(const __u64 *args, __u64 probe)
{
    switch (probe) {
        case PROBE_coroutine_never_awaited: return args[0];
        case PROBE_resource_leak: return args[2];
        default: return 0;
    }
}

/* What concerns the task of the loop's dispatch, and where it stands. */
static __always_inline void read_misuse(struct lw_misuse *misuse, const __u64 *args, __u64 probe, __u32 tid)
{
    const struct lw_loop *loop = bpf_map_lookup_elem(&loops, &tid);
    struct lw_slot_head head;
    if (!loop || !loop->slot || !read_slot(&head, loop) || !(head.seq & 1)) head.task = 0;
    if (head.task && bpf_probe_read_user(&misuse->in_task, sizeof(misuse->in_task), (void *)head.task))
        misuse->in_task = 0;
    const bool has_record = probe == PROBE_task_destroyed_pending || probe == PROBE_exception_unretrieved;
    read_task(&misuse->task, has_record ? args[3] : head.task);
    /* It ends in its own dispatch. */
    if (probe == PROBE_task_cancelled && misuse->in_task == args[0] &&
        bpf_probe_read_user(&misuse->asked_ns, sizeof(misuse->asked_ns),
                            (void *)(head.task + offsetof(struct lw_task, cancelled_ns))))
        misuse->asked_ns = 0;

    const __u64 address = has_record ? misuse->task.created_at : place_argument(args, probe);
    struct lw_location at = {};
    if (!address || bpf_probe_read_user(&at, sizeof(at), (void *)address)) return;
    misuse->location = address;
    misuse->line = at.line;
    if (bpf_probe_read_user_str(misuse->file, sizeof(misuse->file), (void *)at.file) < 0) misuse->file[0] = 0;
    if (bpf_probe_read_user_str(misuse->function, sizeof(misuse->function), (void *)at.function) < 0)
        misuse->function[0] = 0;
}

static __always_inline void fill_step(struct lw_step *step, struct pt_regs *ctx, __u64 probe, __u64 now)
{
    step->time_ns = now;
    step->probe = probe;
    step->size = offsetof(struct lw_step, text);
    step->args[0] = ctx->di;
    step->args[1] = ctx->si;
    step->args[2] = ctx->dx;
    step->args[3] = ctx->cx;
    const __u64 text = text_argument(step->args, probe);
    if (!text) return;
    step->size = offsetof(struct lw_step, misuse);
    __builtin_memset(step->text, 0, sizeof(step->text));
    if (bpf_probe_read_user_str(step->text, sizeof(step->text), (void *)text) < 0) step->text[0] = 0;
}

/* What a loop's thread traced comes before what it does next. */
static __always_inline void send_batch_of(const struct lw_loop *loop)
{
    if (!cfg_trace) return;
    struct lw_batch *batch = bpf_map_lookup_elem(&batches, &loop->buffer);
    if (batch && batch->used && !batch->busy) send_batch(batch);
}

/* A step that went by no batch. */
static __noinline int tell_step(struct pt_regs *ctx, __u64 probe)
{
    const __u64 id = bpf_get_current_pid_tgid();
    struct {
        struct lw_event event;
        __u8 step[__builtin_offsetof(struct lw_step, misuse)];
    } record = {};
    struct lw_step *step = (struct lw_step *)record.step;

    if (!is_target(id >> 32)) return 0;
    count_run(LW_RUN_trace_probe);
    const __u64 now = bpf_ktime_get_ns();
    fill_step(step, ctx, probe, now);
    record.event.kind = LW_EVENT_STEPS;
    record.event.size = sizeof(record.event) + step->size;
    record.event.time_ns = now;
    record.event.pid = id >> 32;
    record.event.tid = id;
    /* Sizes that the verifier knows. */
    if (step->size == sizeof(record.step))
        emit(&record, sizeof(record), BPF_RB_NO_WAKEUP);
    else
        emit(&record, sizeof(record) - sizeof(step->text), BPF_RB_NO_WAKEUP);
    return 0;
}

#endif
