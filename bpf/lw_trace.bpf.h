/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Every probe that is only told of: misuse (rare, always attached) and the life of each task (--trace). */
#ifndef LW_TRACE_BPF_H
#define LW_TRACE_BPF_H

#include "lw_target.bpf.h"

enum { /* ids of probes.def */
#define LW_PROBE(id, gate, name, count, doc) PROBE_##name = id,
#include <loopwatch/probes.def>
};

/* Trace records come by the hundred thousand: the collector looks at the ring on a timer, no record wakes it. */
#define FIRST_TRACE_PROBE PROBE_poll_begin

/* Which argument of a probe is a string worth carrying. */
static __always_inline __u64 text_argument(struct pt_regs *ctx, __u64 probe)
{
    switch (probe) {
        case PROBE_exception_unretrieved:
        case PROBE_task_cancelled:
        case PROBE_task_create:
        case PROBE_cancel_request: return ctx->dx;
        default: return 0;
    }
}

static __noinline int tell(struct pt_regs *ctx, __u64 probe)
{
    const __u64 id = bpf_get_current_pid_tgid();
    const __u32 pid = id >> 32, tid = id;
    struct lw_trace record;

    if (!is_target(pid)) return 0;
    __builtin_memset(&record, 0, offsetof(struct lw_trace, text));
    count_run(LW_RUN_trace_probe);
    record.probe = probe;
    record.event.kind = LW_EVENT_TRACE;
    record.event.size = sizeof(record);
    record.event.time_ns = bpf_ktime_get_ns();
    record.event.pid = pid;
    record.event.tid = tid;
    record.args[0] = ctx->di;
    record.args[1] = ctx->si;
    record.args[2] = ctx->dx;
    record.args[3] = ctx->cx;
    record.args[4] = ctx->r8;
    const __u64 flags = probe >= FIRST_TRACE_PROBE ? BPF_RB_NO_WAKEUP : 0;
    const __u64 text = text_argument(ctx, probe);
    if (!text) {
        record.event.size = offsetof(struct lw_trace, text);
        emit(&record, offsetof(struct lw_trace, text), flags);
        return 0;
    }
    __builtin_memset(record.text, 0, sizeof(record.text));
    if (bpf_probe_read_user_str(record.text, sizeof(record.text), (void *)text) < 0) record.text[0] = 0;
    emit(&record, sizeof(record), flags);
    return 0;
}

#endif
