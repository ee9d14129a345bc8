// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Coroutines of programs that know nothing of us: the entry of each body parts its loop's iteration. Nothing tells when
// a resume returns: a return probe would change the return address, which coroutines that hand over to each other by a
// jump do not survive. So a resume lasts until the next one begins, or the iteration ends; the stacks tell whether that
// was its doing.
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lw_unprobed.bpf.h"

/* A body entered deeper on the stack is called by the one that runs, unless that has returned: then something else
 * stands where its return address was, or it looks as if it went on, and the stacks will tell. */
static __always_inline bool is_nested(const struct lw_resume *outer, __u64 sp)
{
    __u64 there = 0;
    if (sp >= outer->sp) return false;
    return !bpf_probe_read_user(&there, sizeof(there), (void *)outer->sp) && there == outer->return_address;
}

SEC("uprobe")
int on_resume(struct pt_regs *ctx)
{
    const __u32 tid = bpf_get_current_pid_tgid();
    struct lw_loop *loop = crowd[tid % LW_CROWD] ? bpf_map_lookup_elem(&loops, &tid) : NULL;
    count_run(bpf_get_attach_cookie(ctx) ? LW_RUN_resume_stepped : LW_RUN_resume);
    struct lw_unprobed *own = loop && !loop->slot ? unprobed_of(loop) : NULL;
    if (!own) return 0;
    /* Before all else: it may be what tells that an iteration has begun. */
    if (loop->off != LW_OFF_NOT) came_back_unseen(loop, tid, bpf_ktime_get_ns());
    if (!(own->slot.seq & 1) || own->unsure_count) return 0;
    struct lw_resume *outer = &own->resume;
    if (own->resumed_seq == own->slot.seq && is_nested(outer, ctx->sp)) return 0;

    const __u64 now = bpf_ktime_get_ns();
    if (!own->slot.iteration_start) own->slot.iteration_start = own->slot.start;
    end_part(loop, own, tid, now, now);
    begin_part(own, now);
    own->resumes++;
    outer->frame = ctx->di;
    outer->function = ctx->ip;
    outer->sp = ctx->sp;
    if (bpf_probe_read_user(&outer->return_address, sizeof(outer->return_address), (void *)ctx->sp))
        outer->return_address = 0;
    own->resumed_seq = own->slot.seq;
    return 0;
}
