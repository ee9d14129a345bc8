/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Map values that both sides know: the collector enters loops that ran before the attach, looks at dispatches that do
 * not return, and takes what is left in the batches when the trace probes are gone. Compiles as BPF C, C11 and C++20.
 */
#ifndef LW_STATE_H
#define LW_STATE_H

#include "lw_event.h"

#define LW_NO_PLACE 0xffffffffu

enum lw_off { LW_OFF_NOT = 0, LW_OFF_BLOCKED = 1, LW_OFF_PREEMPTED = 2, LW_OFF_STOPPED = 3 };

/* Of one loop thread; keyed by tid. All zeros but the head when it is entered. */
struct lw_loop {
    __lw_u64 slot;
    __lw_u64 loop_id;
    __lw_u32 pid;
    __lw_u32 buffer; /* its index in `batches` and, divided by LW_BUFFERS, in `places` */

    /* Where the scheduler's view begins: what passed of a dispatch before `seen_ns` is unknown. A thread whose first
     * switch is one out ran since it was entered; one that comes in first was away, nobody knows why. 0: no switch yet,
     * so it runs. */
    __lw_u64 entered_ns, seen_ns;

    /* the dispatch that the sums below belong to */
    __lw_u64 seq;
    __lw_u64 blocked_ns, runq_ns, stopped_ns, other_blocked_ns;
    __lw_u32 blocks, preemptions;
    __lw_u32 places;
    __lw_u32 long_blocks; /* of at least the block threshold: announced already, so the dispatch must be closed */

    /* off the CPU since */
    __lw_u64 off_ns, wake_ns;
    __lw_u32 off;   /* enum lw_off */
    __lw_u32 place; /* where it is blocked; LW_NO_PLACE */
    struct lw_waker waker;
};

/* A record and, right behind it, its stack: one call hands both to the ring. `raw` holds the largest record, a whole
 * stack, and the slack of a copy whose last step may begin anywhere below LW_STACK_BYTES. */
struct lw_buffer {
    union {
        struct lw_source source;
        struct lw_call call;
        struct lw_sample sample;
        struct lw_dispatch dispatch;
        __lw_u8 raw[sizeof(struct lw_call) + sizeof(struct lw_source) + LW_STACK_BYTES + 4096];
    };
    __lw_u64 sent; /* the stack went out with a single block */
};

/* Steps that a loop's thread has traced and the ring has not yet: the way into the ring was most of what a step cost (a
 * hit under --trace: 671 → 550 ns, where an empty program costs 450 to 480). One per thread, not per CPU: a handler can
 * be preempted, and the next thread on that CPU would write into the middle of its step. */
#define LW_BATCH_BYTES 8192
struct lw_batch {
    struct lw_event event; /* ready to be sent, but for its size */
    __lw_u8 steps[LW_BATCH_BYTES];
    __lw_u32 used; /* bytes of steps; whoever exchanges it for 0 sends them */
    __lw_u32 busy; /* a step is being written: a context switch must not send */
};

#endif
