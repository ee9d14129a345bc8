/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * How a block ends: with the thread's next switch-in or, where that was not seen, at the latest when the thread is
 * found running. And how a dispatch does: with all places in which it blocked. */
#ifndef LW_BLOCKS_BPF_H
#define LW_BLOCKS_BPF_H

#include "lw_target.bpf.h"

/* Its program starts, and it may never be one. */
static __always_inline bool has_no_loop_yet(struct lw_loop *loop)
{
    const struct lw_unprobed *own = loop->slot ? NULL : unprobed_of(loop);
    return own && own->starts;
}

/* Time in a place that is not kept. Less than a hundredth of the threshold is not reported, and is no loss: under
 * strace a callback is stopped in each of its system calls. Nor is what a program does before its loop begins. */
__weak __noinline int count_overflow(struct lw_loop *loop, __u64 lasted)
{
    if (loop && is_slow(loop->pid, lasted * 100) && !has_no_loop_yet(loop)) lose(LW_LOSS_sources_overflow);
    return 0;
}

/* Functions that are not static are verified once, not once a call: a session starts 0.2 s sooner. */
__weak __noinline int end_block(struct lw_loop *loop, __u32 tid, __u64 end, __u64 now)
{
    if (!loop) return 0;
    const __u64 lasted = end - loop->off_ns;
    struct lw_buffer *buffer = loop->place < LW_SOURCES ? place_at(loop, loop->place) : NULL;

    loop->blocked_ns += lasted;
    loop->blocks++;
    if (!buffer) {
        if (loop->places >= LW_SOURCES) count_overflow(loop, lasted);
        loop->other_blocked_ns += lasted;
        return 0;
    }
    struct lw_source *source = &buffer->source;
    source->count++;
    source->total_ns += lasted;
    source->block_start_ns = loop->off_ns;
    source->block_end_ns = end;
    if (lasted > source->longest_ns) source->longest_ns = lasted;
    if (!is_long_block(loop->pid, lasted)) return 0;
    source->waker = loop->waker;
    loop->long_blocks++;
    source->single = 1;
    begin_event(&source->event, LW_EVENT_SOURCE, 0, loop, tid, now);
    emit_loop_stack(buffer, &source->event, &source->stack, sizeof(*source), !buffer->sent, now);
    source->single = 0;
    buffer->sent = 1;
    return 0;
}

static __always_inline bool idles_at(const struct lw_unprobed *own, __u32 site)
{
    if (site >= LW_SITES) return false;
    barrier_var(site); /* else it is compared after it has been widened, and the verifier forgets */
    return own->sites[site & (LW_SITES - 1)].verdict == LW_VERDICT_IDLE;
}

/* With --coroutines an iteration has parts, one a resume. */
static __always_inline void begin_part(struct lw_unprobed *own, __u64 now)
{
    if (own->slot.seq & 1) return;
    own->unsure_count = 0;
    own->began_unsure = 0;
    own->slot.start = now;
    own->slot.seq++;
}

static __always_inline void begin_iteration(struct lw_unprobed *own, __u64 now)
{
    if (own->slot.seq & 1) return;
    own->slot.iteration_start = own->resumes = 0;
    begin_part(own, now);
}

/* When did the current thread come on the CPU? The scheduler's own book tells, for the classes that keep it; as of
 * the last tick if the thread is not about to leave. */
#define SCHED_NORMAL 0u
#define SCHED_BATCH 3u
#define SCHED_IDLE 5u
static __always_inline __u64 on_cpu_since(__u64 now)
{
    const struct task_struct *task = bpf_get_current_task_btf();
    const __u32 policy = task->policy;
    if (policy != SCHED_NORMAL && policy != SCHED_BATCH && policy != SCHED_IDLE) return now;
    return now - (task->se.sum_exec_runtime - task->se.prev_sum_exec_runtime);
}

/* The thread runs, yet its switch-in was not seen: 1 of 500 blocks in a VM under load, where ftrace missed it too, now
 * and then together with its waking. A block ended when its waker said so, else when the thread came back; then a wait
 * for a CPU counts as blocked. An iteration that nobody saw begin would be seen by nobody: a callback of 250 ms was. */
__weak __noinline int came_back_unseen(struct lw_loop *loop, __u32 tid, __u64 now)
{
    if (!loop) return 0;
    __u64 back = on_cpu_since(now);
    if (back < loop->off_ns || back > now) back = loop->off_ns;
    if (loop->off != LW_OFF_IDLE && (loop->off != LW_OFF_BLOCKED || !loop->wake_ns)) lose(LW_LOSS_switch_unseen);
    if (loop->off == LW_OFF_BLOCKED) end_block(loop, tid, loop->wake_ns ? loop->wake_ns : back, now);
    struct lw_unprobed *own = loop->off == LW_OFF_IDLE && !loop->slot ? unprobed_of(loop) : NULL;
    if (own && idles_at(own, loop->site)) {
        own->slot.idle_ticks += back - loop->off_ns;
        own->slot.poll_since = 0;
        begin_iteration(own, back);
    }
    goes_off(loop, tid, LW_OFF_NOT);
    return 0;
}

static __always_inline void add_up(struct lw_sums *to, const struct lw_loop *loop)
{
    to->blocked_ns += loop->blocked_ns;
    to->runq_ns += loop->runq_ns;
    to->throttled_ns += loop->throttled_ns;
    to->stopped_ns += loop->stopped_ns;
}

/* Before the sums begin anew: adds them to those of their iteration. */
__weak __noinline int keep_sums(struct lw_loop *loop)
{
    if (!loop) return 0;
    __u64 iteration = 0;
    const struct lw_unprobed *own = loop->slot ? NULL : unprobed_of(loop);
    if (own)
        iteration = own->slot.iterations + 1;
    else
        bpf_probe_read_user(&iteration, sizeof(iteration),
                            (void *)(loop->slot + offsetof(struct lw_loop_slot, iterations)));
    if (iteration == loop->iteration)
        add_up(&loop->earlier, loop);
    else
        __builtin_memset(&loop->earlier, 0, sizeof(loop->earlier));
    loop->iteration = iteration;
    return 0;
}

/* Tells of an iteration that was held by many dispatches, none of which was slow. */
__weak __noinline int tell_iteration(struct lw_loop *loop, __u32 tid, __u64 start, __u64 end, __u64 dispatches)
{
    if (!loop || end < start || !is_slow(loop->pid, end - start) || loop->slow_end_ns > start) return 0;
    struct lw_record *room = record_of(loop);
    if (!room) return 0;
    struct lw_iteration *record = &room->iteration;
    begin_event(&record->event, LW_EVENT_ITERATION, sizeof(*record), loop, tid, bpf_ktime_get_ns());
    keep_sums(loop);
    record->event.seq = loop->seq;
    record->start_ns = start;
    record->end_ns = end;
    record->dispatches = dispatches;
    record->blocked_ns = loop->earlier.blocked_ns;
    record->runq_ns = loop->earlier.runq_ns;
    record->throttled_ns = loop->earlier.throttled_ns;
    record->stopped_ns = loop->earlier.stopped_ns;
    record->entered_ns = loop->entered_ns;
    loop->iteration = 0; /* counted: not once more */
    emit(record, sizeof(*record), 0);
    return 0;
}

static __always_inline void add_sums(struct lw_dispatch *record, const struct lw_loop *loop)
{
    record->blocked_ns = loop->blocked_ns;
    record->runq_ns = loop->runq_ns;
    record->throttled_ns = loop->throttled_ns;
    record->stopped_ns = loop->stopped_ns;
    record->other_blocked_ns = loop->other_blocked_ns;
    record->blocks = loop->blocks;
    record->preemptions = loop->preemptions;
    record->sources = loop->places;
    record->contention = loop->contention;
}

__weak __noinline int send_place(struct lw_loop *loop, struct lw_buffer *buffer, __u32 tid, __u64 now)
{
    if (!loop || !buffer || !buffer->source.count) return 0;
    struct lw_source *source = &buffer->source;
    begin_event(&source->event, LW_EVENT_SOURCE, 0, loop, tid, now);
    /* Less than a hundredth is not told of. */
    if (!buffer->sent && is_slow(loop->pid, source->total_ns * 100)) count_cut_stack(&source->stack);
    emit_with_stack(buffer, &source->event, &source->stack, sizeof(*source), !buffer->sent, now);
    return 0;
}

static __always_inline void send_places(struct lw_loop *loop, __u32 tid, __u64 now)
{
    for (__u32 i = 0; i < LW_SOURCES; i++) {
        if (i >= loop->places) break;
        struct lw_buffer *buffer = place_at(loop, i);
        if (!buffer) break;
        send_place(loop, buffer, tid, now);
    }
}

/* Sends the places of a dispatch that has ended; returns the record that closes it, for the caller to complete and
 * send. */
static __always_inline struct lw_dispatch *close_dispatch(struct lw_loop *loop, __u32 tid, __u64 seq, __u64 start,
                                                          __u64 end, __u64 now)
{
    struct lw_record *room = record_of(loop);
    if (!room) return NULL;
    struct lw_dispatch *record = &room->dispatch;
    __builtin_memset(record, 0, sizeof(*record));
    if (loop->seq == seq) {
        add_sums(record, loop);
        send_places(loop, tid, now);
    }
    begin_event(&record->event, LW_EVENT_DISPATCH, sizeof(*record), loop, tid, now);
    record->event.seq = seq;
    record->start_ns = start;
    record->end_ns = end;
    record->entered_ns = loop->entered_ns;
    record->seen_ns = loop->seen_ns;
    return record;
}

#endif
