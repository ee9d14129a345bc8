/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause
 *
 * C ABI of the state that a loop publishes and that others read from outside: the kernel side with bpf_probe_read_user,
 * the collector with process_vm_readv. One writer (the loop's thread), plain stores, no reader in the process itself.
 * Readers must expect torn and hostile values: every pointer may be wild, every list may be a cycle.
 *
 * Compiles as C11, C++20 and BPF C. Layouts are asserted at the end of this file; a change of meaning is a new LW_ABI.
 */
#ifndef LOOPWATCH_LOOP_STATE_H
#define LOOPWATCH_LOOP_STATE_H

#ifdef __bpf__
#define LW_PTR(type) __u64
typedef __u64 lw_u64;
typedef __u32 lw_u32;
typedef __s32 lw_s32;
#else
#include <stdint.h>
#define LW_PTR(type) type*
typedef uint64_t lw_u64;
typedef uint32_t lw_u32;
typedef int32_t lw_s32;
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LW_ABI 2u
#define LW_SLOT_MAGIC 0x31746f6c73776cull /* "lwslot1", little endian */
#define LW_HISTOGRAM_BUCKETS 160
#define LW_STACK_DEPTH 31

enum lw_clock { LW_CLOCK_MONOTONIC = 0, LW_CLOCK_TSC = 1 };

enum lw_task_state {
    LW_TASK_CREATED = 0,   /* spawned, not yet resumed */
    LW_TASK_RUNNING = 1,   /* the loop runs it right now */
    LW_TASK_SUSPENDED = 2, /* it awaits something */
    LW_TASK_READY = 3,     /* in the ready queue */
    LW_TASK_FINISHED = 4,
};

enum lw_outcome {
    LW_OUTCOME_RESULT = 0,
    LW_OUTCOME_EXCEPTION = 1,
    LW_OUTCOME_CANCELLED = 2,
    LW_OUTCOME_SWALLOWED =
        3, /* cancel_delivered and task_cancelled only: the task caught the cancellation and went on */
};

/* Same layout as what std::source_location points to in libstdc++ and libc++ (`__builtin_source_location`), so that a
 * location costs one pointer store. */
struct lw_location {
    LW_PTR(const char) file;
    LW_PTR(const char) function;
    lw_u32 line;
    lw_u32 column;
};

#ifndef __bpf__
/* The line it stands in. */
#define LW_HERE                                                                      \
    __extension__({                                                                  \
        static const struct lw_location lw_here = {__FILE__, __func__, __LINE__, 0}; \
        &lw_here;                                                                    \
    })
#endif

/* One activation of a coroutine; lives in its promise. The chain leaf → awaiter → … ends at the task's own coroutine.
 */
struct lw_frame {
    LW_PTR(const struct lw_frame) awaiter;         /* who co_awaits this coroutine; 0 for the task's own */
    LW_PTR(const struct lw_location) created_at;   /* the coroutine's function */
    LW_PTR(const struct lw_location) suspended_at; /* its last co_await; 0 before the first */
    lw_u64 bytes;                                  /* size of its coroutine frame; 0: not known */
};

enum lw_awaited_kind {
    LW_AWAITED_OTHER = 0,
    LW_AWAITED_TIMER = 1,    /* value: when it is due, CLOCK_MONOTONIC ns */
    LW_AWAITED_IO = 2,       /* an operation on `fd`; name: which one */
    LW_AWAITED_EVENT = 3,    /* until it is set */
    LW_AWAITED_MUTEX = 4,    /* value: id of the task that holds it */
    LW_AWAITED_CHANNEL = 5,  /* value: how many values stand in it: none, or as many as it takes */
    LW_AWAITED_EXECUTOR = 6, /* a function that runs on a thread of a pool */
    LW_AWAITED_SEMAPHORE = 7, /* value: id of the task that has held one of its permits for longest */
};

/* What a suspended task waits for, other than a task. Lives in the awaiter or in what it waits for: valid while the
 * task's state is LW_TASK_SUSPENDED. */
struct lw_awaited {
    lw_u32 kind;             /* enum lw_awaited_kind */
    lw_s32 fd;               /* -1: none, or not known */
    lw_u64 value;            /* see the kind */
    LW_PTR(const char) name; /* NUL-terminated, 0: it has none */
};

/* Return addresses, innermost first. */
struct lw_backtrace {
    lw_u64 count;
    lw_u64 address[LW_STACK_DEPTH];
};

/* One task, what asyncio calls Task: spawned on a loop, pinned to it. */
struct lw_task {
    lw_u64 id; /* 1, 2, 3 … per process, never reused */
    lw_u64 parent_id;
    LW_PTR(const char) name;                     /* NUL-terminated, valid as long as the task */
    LW_PTR(const struct lw_location) created_at; /* where it was spawned */
    LW_PTR(const struct lw_frame) leaf;          /* innermost activation */
    lw_u32 state;                                /* enum lw_task_state */
    lw_u32 cancel_requests;
    lw_u64 cancelled_by; /* task id of the last canceller, 0: not a task */
    LW_PTR(const char) cancel_reason;
    lw_u64 awaited_task; /* id of the task it joins, 0: none */
    LW_PTR(struct lw_task) next;
    LW_PTR(struct lw_task) prev;
    lw_u64 created_ns;                               /* CLOCK_MONOTONIC_COARSE; 0: not known */
    lw_u64 resumes;                                  /* dispatches so far */
    lw_u64 busy_ticks;                               /* in them; kept only while somebody is attached */
    LW_PTR(const struct lw_awaited) awaited;         /* while it is suspended; 0: a task, or not known */
    LW_PTR(const char) labels;                       /* a line "key=value" each, NUL-terminated; 0: none */
    LW_PTR(const struct lw_backtrace) created_stack; /* who spawned it, in debug mode; 0 else */
    lw_u64 cancelled_ns;                             /* first asked to stop, CLOCK_MONOTONIC; 0: never, or not known */
};

/* One loop. `seq` is odd while a dispatch runs; dispatch number n has seq 2n-1. Times are ticks of `clock`. */
struct lw_loop_slot {
    /* cache line 0: stored on every dispatch, read by the kernel side in one copy */
    lw_u64 seq;
    LW_PTR(const struct lw_task) task;       /* of the current or last dispatch */
    lw_u64 start;                            /* of the current dispatch; 0: nobody was attached when it began */
    LW_PTR(const struct lw_location) resume; /* the await at which the task goes on; 0: its first resume */
    lw_u64 stack_top;                        /* frame of the loop function: callbacks live below it */
    lw_u64 loop_id;
    lw_u32 queued; /* entries ever put into the ready queue, modulo 2^32; all but (seq + 1) / 2 of them wait in it */
    lw_u32 tid;    /* as the target's own PID namespace sees it */
    lw_u64 busy_ticks; /* in dispatches (a, see below) */

    /* cache line 1: identity, written at loop start; clock, rewritten when re-anchored */
    lw_u64 magic;
    lw_u32 abi;
    lw_u32 size; /* sizeof(struct lw_loop_slot) of the writer */
    LW_PTR(const char) name;
    LW_PTR(struct lw_loop_slot) next; /* next loop of the registry */
    lw_u32 clock;                     /* enum lw_clock */
    lw_u32 clock_shift;               /* ns = anchor_ns + ((ticks - anchor_ticks) * clock_mult >> clock_shift) */
    lw_u64 clock_mult;
    lw_u64 anchor_ticks;
    lw_u64 anchor_ns;

    /* cache line 2 and on: counters. Those marked (a) are kept only while somebody is attached. */
    lw_u64 iterations; /* polls (a) */
    lw_u64 idle_ticks; /* in polls (a) */
    lw_u64 poll_since; /* start of the wait in progress, 0: none (a) */
    lw_u64 max_ticks;  /* longest dispatch seen (a) */
    lw_u64 tasks_created;
    lw_u64 tasks_finished;
    lw_u64 tasks_cancelled;
    LW_PTR(struct lw_task) tasks; /* every live task of this loop */

    /* cache line 3: who waited because of the last slow dispatch; valid at the slow_dispatch probe */
    lw_u64 impact_seq;
    lw_u64 impact_tasks;
    lw_u64 impact_max_ns;
    lw_u64 impact_total_ns;
    lw_u64 floor_ns;        /* the slow path's floor */
    lw_u64 iteration_start; /* end of the poll before the dispatches that run now, in ticks; 0: polling (a) */
    lw_u64 reserved[2];

    /* dispatch times in ticks, log2 with 4 sub-buckets (lw_bucket_of); timer lag in ticks (a) */
    lw_u32 dispatch_histogram[LW_HISTOGRAM_BUCKETS];
    lw_u32 lag_histogram[LW_HISTOGRAM_BUCKETS];
};

/* What an allocated ELF note (section .note.loopwatch, owner "loopwatch", type 1) leads to, so that the loops are found
 * in stripped programs and in every DSO. The note's descriptor: u32 abi, u32 reserved, s64 distance from the s64 itself
 * to the registry. */
struct lw_registry {
    lw_u64 magic; /* LW_SLOT_MAGIC */
    lw_u32 abi;
    lw_u32 reserved;
    LW_PTR(struct lw_loop_slot) loops;
};

/* What the shim knows of a libc call; argument of the blocking_call probe, valid during the probe. */
struct lw_call_detail {
    lw_u32 size;    /* sizeof(struct lw_call_detail) of the writer */
    lw_s32 fd;      /* -1: none */
    lw_u64 caller;  /* return address into the code that called libc */
    lw_u64 arg;     /* call-specific: requested ns, lock address, child pid, byte count */
    char text[104]; /* path, host or command line; NUL-terminated, cut if longer */
};

#define LW_REGISTER_SYMBOL "loopwatch_shim_register"
/* Exported by the shim; called by a loop with its slot when a thread begins to run it and with 0 when it ends. The
 * runtime finds it with dlsym(RTLD_DEFAULT): a weak reference is NULL in non-PIE executables even with the shim loaded.
 */
typedef void lw_shim_register_fn(const struct lw_loop_slot* slot);

#ifndef __bpf__
/* Who listens inside the process, where there is no kernel side to do it. Called on the loop's thread with what the
 * probes of these names tell; the task is alive. */
struct lw_listener {
    lw_u32 abi;
    lw_u32 size; /* sizeof(struct lw_listener) of the writer */
    void (*slow_dispatch)(const struct lw_loop_slot* slot, const struct lw_task* task, const struct lw_location* resume,
                          lw_u64 start_ns, lw_u64 end_ns);
    void (*slow_iteration)(const struct lw_loop_slot* slot, lw_u64 dispatches, lw_u64 start_ns, lw_u64 end_ns);
};

#define LW_LISTENER_SYMBOL "loopwatch_shim_listener"
/* Exported by the shim; a loop asks when a thread begins to run it. 0: nobody listens. While somebody does, the loop
 * counts as watched. */
typedef const struct lw_listener* lw_shim_listener_fn(void);

#define LW_FINDINGS_SYMBOL "loopwatch_shim_findings"
/* Exported by the shim: how many dispatches of this process were slow, or held by a slow call, so far; under `loopwatch
 * run` and LOOPWATCH=warn. Counted before the loop goes on, so that a test knows which of its cases did it. */
typedef lw_u64 lw_shim_findings_fn(void);
#endif

/* Position of the highest bit; `value` is not 0. clang's BPF back end runs out of memory over __builtin_clzll. */
static inline lw_u32 lw_log2_of(lw_u64 value)
{
#ifdef __bpf__
    lw_u32 log2 = 0;
    for (lw_u32 bits = 32; bits; bits /= 2)
        if (value >> bits) {
            value >>= bits;
            log2 += bits;
        }
    return log2;
#else
    return 63u - (lw_u32)__builtin_clzll(value);
#endif
}

/* Bucket of a value: exact below 4, then 4 sub-buckets an octave (width ≤ 25 %). Bucket b ≥ 4 covers
 * [(4 + b % 4) << (b / 4 - 1), (5 + b % 4) << (b / 4 - 1)). */
static inline lw_u32 lw_bucket_of(lw_u64 value)
{
    if (value < 4) return (lw_u32)value;
    const lw_u32 log2 = lw_log2_of(value);
    const lw_u32 bucket = (log2 - 1) * 4 + (lw_u32)((value >> (log2 - 2)) & 3);
    return bucket < LW_HISTOGRAM_BUCKETS ? bucket : LW_HISTOGRAM_BUCKETS - 1;
}

#ifdef __cplusplus
}
#define LW_ASSERT static_assert
#else
#define LW_ASSERT _Static_assert
#endif

LW_ASSERT(sizeof(struct lw_location) == 24, "layout of lw_location");
LW_ASSERT(sizeof(struct lw_frame) == 32, "layout of lw_frame");
LW_ASSERT(sizeof(struct lw_awaited) == 24, "layout of lw_awaited");
LW_ASSERT(sizeof(struct lw_task) == 144, "layout of lw_task");
LW_ASSERT(__builtin_offsetof(struct lw_loop_slot, magic) == 64, "cache line 0 of lw_loop_slot");
LW_ASSERT(__builtin_offsetof(struct lw_loop_slot, iterations) == 128, "cache line 1 of lw_loop_slot");
LW_ASSERT(__builtin_offsetof(struct lw_loop_slot, impact_seq) == 192, "cache line 2 of lw_loop_slot");
LW_ASSERT(__builtin_offsetof(struct lw_loop_slot, dispatch_histogram) == 256, "cache line 3 of lw_loop_slot");
LW_ASSERT(sizeof(struct lw_loop_slot) == 256 + 8 * LW_HISTOGRAM_BUCKETS, "layout of lw_loop_slot");
LW_ASSERT(sizeof(struct lw_call_detail) == 128, "layout of lw_call_detail");
LW_ASSERT(sizeof(struct lw_registry) == 24, "layout of lw_registry");

#endif
