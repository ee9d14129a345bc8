/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Map values that both sides know: the collector enters loops that ran before the attach, looks at dispatches that do
 * not return, and takes what is left in the batches when the trace probes are gone. Compiles as BPF C, C11 and C++20.
 */
#ifndef LW_STATE_H
#define LW_STATE_H

#include <loopwatch/loop_state.h>

#include "lw_event.h"

#define LW_NO_PLACE 0xffffffffu
#define LW_NO_SITE 0xffffffffu

/* Stacks, or bytes of records, sent in the running second. */
struct lw_window {
    __lw_u64 start_ns;
    __lw_u32 used, reserved;
};
#define LW_ASSURED_STACKS 64            /* of each process, whatever the others take */
#define LW_ASSURED_BYTES (1024u * 1024) /* 30 records with a stack; the ring has 8 MiB */

/* May a process enter another loop? */
#define LW_ASSURED_LOOPS 4
static inline int lw_loop_fits(__lw_u32 most, __lw_u32 reserved, __lw_u32 entered, __lw_u32 of_process)
{
    return entered < most && (of_process < LW_ASSURED_LOOPS || entered + reserved < most);
}

enum lw_off {
    LW_OFF_NOT = 0,
    LW_OFF_BLOCKED = 1,
    LW_OFF_PREEMPTED = 2,
    LW_OFF_STOPPED = 3,
    LW_OFF_IDLE = 4, /* between two iterations; of a loop without a slot */
};

/* Where a thread waits: the system call, the code that makes it, how deep, and for what: the descriptor of an epoll, a
 * ring or an aio context, LW_LONE_POLL for a poll of one descriptor alone, else 0. */
#define LW_LONE_POLL (~0ull)
struct lw_site {
    __lw_u64 ip, sp, object;
    __lw_u32 syscall;
    __lw_u32 verdict; /* enum lw_verdict, stored by the collector */
    __lw_u64 ends;    /* iterations that have ended here */
    __lw_u64 came_ns; /* when the thread last came here */
};
enum lw_verdict {
    LW_VERDICT_NONE = 0, /* not yet */
    LW_VERDICT_IDLE = 1, /* the loop itself waits here: an iteration ends */
    LW_VERDICT_BUSY = 2, /* something that the loop called waits here */
    LW_VERDICT_ASK = 3,  /* the question got lost: ask again */
};
#define LW_SITES 16

/* An iteration passed a place that nobody had judged yet: what it did until `since` and what it did from `left_ns` on
 * are two iterations if the verdict says so. */
struct lw_unsure {
    __lw_u64 site; /* of `sites` */
    __lw_u64 since, left_ns;
};

/* The kernel side's own slot for a loop that has none, and where its thread waits. The collector reads it through the
 * mapping, and stores verdicts. */
struct lw_unprobed {
    struct lw_loop_slot slot; /* seq is odd during an iteration, all times are CLOCK_MONOTONIC ns */
    struct lw_site sites[LW_SITES];
    __lw_u32 site_count;
    __lw_u32 unsure_count; /* of `unsure`, in the order in which this iteration passed them */
    struct lw_unsure unsure[LW_UNSURE];
    __lw_u64 gives_way;      /* of `sites`, to a place for which there is no room */
    __lw_u64 unclear_seq;    /* of the part of an iteration that passed a place for which there was no room */
    __lw_u64 began_unsure;   /* at the first of `unsure`: it is an iteration only if a verdict says so */
    __lw_u64 woke_ns;        /* from its last sleep in a place of its own */
    __lw_u64 awake_ns;       /* longest time without one; the collector sets it back */
    __lw_u64 polled_ns;      /* when it last entered a system call to idle in */
    __lw_u64 polled_site;    /* and at which of `sites` */
    __lw_u64 starts;         /* its program, and it may never be a loop: what it does is no iteration yet */
    __lw_u64 found_hanging;  /* the first iteration was going on when the loop was found: it is older than slot.start */
    __lw_u64 resumed_seq;    /* which part of an iteration began with a coroutine's resume, */
    struct lw_resume resume; /* this one */
    __lw_u64 resumes;        /* in this iteration; slot.iteration_start is when it began, if any */
    __lw_u64 certain_ns;     /* from here on what ends is one for sure, */
    __lw_u64 slow;           /* and a part of it reached the threshold */
};

/* Places asked about, of threads that run no loop as far as is known. */
struct lw_site_key {
    __lw_u32 tid;
    __lw_u32 syscall;
    __lw_u64 ip, sp, object;
};

/* Under the key of a thread with a zero for all else: where it last waited for events, and when it came there. */
struct lw_asked {
    __lw_u64 came_ns;
    __lw_u64 ip, sp, object;
    __lw_u32 syscall;
    __lw_u32 slept;
    __lw_u64 born_ns; /* of the thread that was asked about: its tid may be another's by now */
    __lw_u32 pid, reserved;
};

/* A watched process, by pid: from when on its dispatches, and its blocks, are reported. */
struct lw_target {
    __lw_u64 threshold_ns, block_threshold_ns;
    __lw_u32 flags, reserved; /* none so far */
};

/* A thread that sleeps, as the iterator over all threads finds it. */
struct lw_sleeper {
    __lw_u32 tid;
    __lw_u32 state;
    __lw_s32 syscall, reserved; /* -1: none */
    __lw_u64 switches;          /* voluntary ones so far */
    __lw_u64 args[6];
    struct lw_registers registers;
};

/* Time that passed off the CPU. */
struct lw_sums {
    __lw_u64 blocked_ns, runq_ns, throttled_ns, stopped_ns;
};

/* Of one loop thread; keyed by tid. All zeros but the head when it is entered. */
struct lw_loop {
    __lw_u64 slot; /* 0: it has none; struct lw_unprobed */
    __lw_u64 loop_id;
    __lw_u32 pid;
    __lw_u32 buffer; /* its index in `records`, `batches` and `unprobed` */

    /* off the CPU since; these stand beside the above, as a switch needs no more of a loop that idles */
    __lw_u64 off_ns, wake_ns;
    __lw_u32 off;   /* enum lw_off */
    __lw_u32 place; /* where it is blocked; LW_NO_PLACE */
    __lw_u32 site;  /* the same as an index of lw_unprobed's sites; LW_NO_SITE */
    __lw_u32 holds; /* how many of `stacks` it has */

    /* Where the scheduler's view begins: what passed of a dispatch before `seen_ns` is unknown. A thread whose first
     * switch is one out ran since it was entered; one that comes in first was away, nobody knows why. 0: no switch yet,
     * so it runs. */
    __lw_u64 entered_ns, seen_ns;

    /* the dispatch that the sums below belong to */
    __lw_u64 seq;
    __lw_u64 blocked_ns, runq_ns, throttled_ns, stopped_ns, other_blocked_ns;
    __lw_u32 blocks, preemptions;
    __lw_u32 places;
    __lw_u32 long_blocks; /* of at least the block threshold: announced already, so the dispatch must be closed */

    /* sums of the dispatches before it in its iteration, which is the one that followed so many polls */
    __lw_u64 iteration;
    struct lw_sums earlier;
    __lw_u64 slow_end_ns; /* of the last slow dispatch */

    __lw_u64 throttled_before_ns; /* throttled time of its cgroups when it lost the CPU */
    struct lw_waker waker;
    struct lw_contention contention;

    __lw_u64 runq_before_ns; /* how long its thread had waited for a CPU, ever, before it came on this one */
    __lw_u64 held_from_ns, held_until_ns; /* the last time that it waited for one who waited for a CPU */

    __lw_u32 stacks[LW_SOURCES]; /* of its places: 1 + the index in `stacks`; 0: none */
};

/* A return address on the stack of a thread that blocked, and how far above its stack pointer it stands. */
struct lw_caller {
    __lw_u64 address, offset;
};
#define LW_CALLERS 4

/* A loop has stopped; what it counted to the end: a moment later its process may be gone. */
struct lw_loop_stopped {
    struct lw_loop_started started;
    struct lw_loop_slot slot;
};

/* A loop's record without a stack, while it is put together. */
struct lw_record {
    union {
        struct lw_dispatch dispatch;
        struct lw_iteration iteration;
        struct lw_loop_stopped stopped;
        struct lw_loop loop;
    };
};

/* A record and, right behind it, its stack: one call hands both to the ring. `raw` holds the largest record, a whole
 * stack, and the slack of a copy whose last step may begin anywhere below LW_STACK_BYTES. */
struct lw_buffer {
    union {
        struct lw_source source;
        struct lw_call call;
        struct lw_sample sample;
        struct lw_waker_stack waker;
        __lw_u8 raw[sizeof(struct lw_call) + sizeof(struct lw_source) + LW_STACK_BYTES + 4096];
    };
    __lw_u64 sent;                        /* the stack went out with a single block */
    struct lw_caller callers[LW_CALLERS]; /* innermost first, libc's own among them */
    __lw_u64 callers_found;
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
