/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Counters and the way to the ring: the only code that touches it. Nothing is reserved before something that may fail;
 * a record is complete when it is handed over. */
#ifndef LW_EMIT_BPF_H
#define LW_EMIT_BPF_H

#include "lw_maps.bpf.h"

static __always_inline void lose_many(__u32 loss, __u64 many)
{
    __u64 *count = bpf_map_lookup_elem(&losses, &loss);
    if (count) *count += many;
}

static __always_inline void lose(__u32 loss)
{
    lose_many(loss, 1);
}

static __always_inline void count_runs(__u32 program, __u64 many)
{
    __u64 *count = bpf_map_lookup_elem(&runs, &program);
    if (count) *count += many;
}

static __always_inline void count_run(__u32 program)
{
    count_runs(program, 1);
}

static __always_inline void begin_event(struct lw_event *event, __u32 kind, __u32 size, const struct lw_loop *loop,
                                        __u32 tid, __u64 now)
{
    event->kind = kind;
    event->size = size;
    event->time_ns = now;
    event->pid = loop->pid;
    event->tid = tid;
    event->loop_id = loop->loop_id;
    event->seq = loop->seq;
}

static __always_inline __u64 *hint_of(__u32 tid)
{
    const __u32 key = tid % LW_HINTS;
    return bpf_map_lookup_elem(&hints, &key);
}

/* The loop of a thread, if it runs one. */
static __always_inline struct lw_loop *loop_of(__u32 tid)
{
    return crowd[tid % LW_CROWD] ? bpf_map_lookup_elem(&loops, &tid) : NULL;
}

static __always_inline void count_loop(__u32 pid, __u32 tid, int change)
{
    __sync_fetch_and_add(&crowd[tid % LW_CROWD], change);
    __sync_fetch_and_add(&loops_by_pid[pid % LW_CROWD], change);
    __sync_fetch_and_add(&loops_entered, change);
}

static __always_inline bool loop_fits(__u32 pid)
{
    return lw_loop_fits(cfg_max_loops, reserved_loops, loops_entered, loops_by_pid[pid % LW_CROWD]);
}

/* Counted before it is there, and until it is gone: a zero in the crowd must never hide a loop. */
static __always_inline void remember_loop(const struct lw_loop *loop, __u32 tid)
{
    const __u32 pid = loop->pid;
    count_loop(pid, tid, 1);
    if (!bpf_map_update_elem(&loops, &tid, loop, BPF_NOEXIST)) return;
    count_loop(pid, tid, -1);
    bpf_map_push_elem(&free_buffers, &loop->buffer, 0);
}

/* Which one: 1 + its index in `stacks`; 0: none is left for this process. */
static __always_inline __u32 take_stack(__u32 pid)
{
    __u32 index;
    __u32 *taken = &stacks_taken_by_pid[pid % LW_CROWD];
    if (!lw_loop_fits(cfg_max_stacks, reserved_loops, stacks_taken, *taken) || bpf_map_pop_elem(&free_stacks, &index)) {
        lose(LW_LOSS_stack_pool_empty);
        return 0;
    }
    __sync_fetch_and_add(taken, 1);
    __sync_fetch_and_add(&stacks_taken, 1);
    return index + 1;
}

static __always_inline void give_back_stack(__u32 pid, __u32 stack)
{
    const __u32 index = stack - 1;
    __sync_fetch_and_add(&stacks_taken_by_pid[pid % LW_CROWD], -1);
    __sync_fetch_and_add(&stacks_taken, -1);
    bpf_map_push_elem(&free_stacks, &index, 0);
}

/* Of the places of its last dispatch. Exchanged, since the thread may go on while its process is dismissed. */
__weak __noinline int give_back_stacks(struct lw_loop *loop)
{
    if (!loop) return 0;
    for (__u32 i = 0; i < LW_SOURCES; i++) {
        const __u32 stack = __sync_lock_test_and_set(&loop->stacks[i], 0);
        if (stack) give_back_stack(loop->pid, stack);
    }
    loop->holds = loop->places = 0;
    return 0;
}

/* Exchanged where it counts down: the thread may go on while its process is dismissed, and a block that is counted
 * out twice would hide another thread's. */
static __always_inline void goes_off(struct lw_loop *loop, __u32 tid, __u32 off)
{
    if (off == loop->off) return;
    if (loop->off == LW_OFF_BLOCKED) {
        if (__sync_val_compare_and_swap(&loop->off, LW_OFF_BLOCKED, off) == LW_OFF_BLOCKED)
            __sync_fetch_and_add(&crowd_blocked[tid % LW_CROWD], -1);
        return;
    }
    if (off == LW_OFF_BLOCKED) __sync_fetch_and_add(&crowd_blocked[tid % LW_CROWD], 1);
    loop->off = off;
}

/* The thread runs this loop no longer. */
static __always_inline void forget_loop(struct lw_loop *loop, __u32 tid)
{
    const __u32 buffer = loop->buffer, pid = loop->pid;
    __u64 *hint = hint_of(tid);
    goes_off(loop, tid, LW_OFF_NOT);
    if (loop->holds) give_back_stacks(loop);
    if (hint && *hint >> 32 == tid) *hint = 0;
    if (bpf_map_delete_elem(&loops, &tid)) return; /* the collector was first */
    count_loop(pid, tid, -1);
    bpf_map_push_elem(&free_buffers, &buffer, 0);
}

/* `now` may be a little before what another CPU has begun with. */
static __always_inline void pass_window(struct lw_window *window, __u64 now)
{
    if ((__s64)(now - window->start_ns) <= 1000000000ll) return;
    window->start_ns = now;
    window->used = 0;
}

/* Where several processes are watched, half of the ring is for those that have written little in this second: one that
 * writes without a pause takes no room from the others. */
static __always_inline bool has_room(const struct lw_event *event, __u64 size)
{
    if (!reserved_loops) return true;
    struct lw_window *own = &bytes_by_pid[event->pid % LW_CROWD];
    pass_window(own, event->time_ns);
    if (own->used >= LW_ASSURED_BYTES &&
        bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 2)
        return false;
    own->used += size;
    return true;
}

static __always_inline void emit(void *record, __u64 size, __u64 flags)
{
    if (!has_room(record, size) || bpf_ringbuf_output(&events, record, size, flags)) lose(LW_LOSS_ring_full);
}

static __always_inline bool stack_affordable(__u32 pid, __u64 now)
{
    struct lw_window *own = &stacks_by_pid[pid % LW_CROWD];
    pass_window(&stack_window, now);
    pass_window(own, now);
    if (stack_window.used >= cfg_stacks_per_second && own->used >= LW_ASSURED_STACKS) {
        lose(LW_LOSS_stack_budget);
        return false;
    }
    stack_window.used++;
    own->used++;
    return true;
}

/* Hands over a record that begins a buffer, with its stack behind it. `head` is the constant size of the record's
 * struct. */
static __always_inline void emit_with_stack(void *buffer, struct lw_event *event, struct lw_stack *stack, __u32 head,
                                            bool with_stack, __u64 now)
{
    const __u32 kept = stack->bytes;
    __u32 bytes = with_stack && kept && stack_affordable(event->pid, now) ? kept : 0;
    /* What is compared must be what is used: the verifier of 6.1 does not relate 32-bit copies. */
    barrier_var(bytes);
    if (bytes > LW_STACK_BYTES) bytes = LW_STACK_BYTES;
    stack->bytes = bytes;
    event->size = head + bytes;
    emit(buffer, head + bytes, 0);
    stack->bytes = kept;
}

/* What could not be copied of a loop thread's stack is a loss. Counted when it is told of, not when it was copied: most
 * places never are, and a thread may sleep in the very fault that is to bring its stack in. */
static __always_inline void count_cut_stack(const struct lw_stack *stack)
{
    if (!stack->bytes)
        lose(LW_LOSS_stack_unreadable);
    else if (stack->truncated)
        lose(LW_LOSS_stack_truncated);
}

static __always_inline void emit_loop_stack(struct lw_buffer *buffer, struct lw_event *event, struct lw_stack *stack,
                                            __u32 head, bool with_stack, __u64 now)
{
    if (with_stack) count_cut_stack(stack);
    emit_with_stack(buffer, event, stack, head, with_stack, now);
}

/* Trace records come by the hundred thousand: the collector looks at the ring on a timer, no record wakes it. */
static __always_inline void send_batch(struct lw_batch *batch)
{
    const __u32 used = __sync_lock_test_and_set(&batch->used, 0);
    if (!used || used > LW_BATCH_BYTES) return;
    count_runs(LW_RUN_trace_probe, batch->event.seq);
    const __u32 size = sizeof(batch->event) + used;
    batch->event.size = size;
    if (!has_room(&batch->event, size) || bpf_ringbuf_output(&events, batch, size, BPF_RB_NO_WAKEUP))
        lose_many(LW_LOSS_ring_full, batch->event.seq);
}

#endif
