// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Every other probe of probes.def: misuse (rare, always attached) and the life of each task (--trace). One program for
// all, told apart by the attach cookie.
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

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

SEC("uprobe")
int on_trace(struct pt_regs *ctx)
{
    const __u64 id = bpf_get_current_pid_tgid();
    const __u32 pid = id >> 32, tid = id;
    struct lw_trace record = {};

    if (!bpf_map_lookup_elem(&targets, &pid)) return 0;
    count_run(LW_RUN_trace_probe);
    record.probe = bpf_get_attach_cookie(ctx);
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
    const __u64 text = text_argument(ctx, record.probe);
    if (text && bpf_probe_read_user_str(record.text, sizeof(record.text), (void *)text) < 0) record.text[0] = 0;
    emit(&record, sizeof(record), record.probe >= FIRST_TRACE_PROBE ? BPF_RB_NO_WAKEUP : 0);
    return 0;
}
