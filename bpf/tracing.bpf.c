// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Handler of the trace probes, which come by the hundred thousand: a program of its own (the one of probes.bpf.c costs
// 15 ns before it knows what it is asked), one clock read, one look-up, six stores.
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lw_trace.bpf.h"

static __always_inline struct lw_batch *batch_of(__u32 tid)
{
    volatile __u64 *hint = hint_of(tid);
    if (!hint) return NULL;
    /* Read once: a thread on another CPU may share the entry. */
    __u64 known = *hint;
    if (known >> 32 != tid) {
        const struct lw_loop *loop = bpf_map_lookup_elem(&loops, &tid);
        if (!loop) return NULL;
        known = (__u64)tid << 32 | loop->buffer;
        *hint = known;
    }
    const __u32 buffer = known;
    return bpf_map_lookup_elem(&batches, &buffer);
}

static __always_inline void begin_batch(struct lw_batch *batch, __u32 tid, __u64 now)
{
    const struct lw_loop *loop = bpf_map_lookup_elem(&loops, &tid);
    if (loop) begin_event(&batch->event, LW_EVENT_STEPS, 0, loop, tid, now);
    batch->event.seq = 0;
}

SEC("uprobe")
int on_trace_probe(struct pt_regs *ctx)
{
    const __u64 probe = bpf_get_attach_cookie(ctx);
    struct lw_batch *batch = batch_of(bpf_get_current_pid_tgid());
    if (!batch) return tell_step(ctx, probe); /* spawned or cancelled by a thread that runs no loop */

    const __u64 now = bpf_ktime_get_ns();
    batch->busy = 1;
    barrier();
    if (batch->used > LW_BATCH_MOST || (batch->used && now - batch->event.time_ns > LW_BATCH_NS)) send_batch(batch);
    const __u32 used = batch->used;
    if (used <= LW_BATCH_MOST) {
        struct lw_step *step = (struct lw_step *)(batch->steps + used);
        if (!used) begin_batch(batch, bpf_get_current_pid_tgid(), now);
        batch->event.seq++;
        fill_step(step, ctx, probe, now);
        batch->used = used + step->size;
    }
    barrier();
    batch->busy = 0;
    return 0;
}
