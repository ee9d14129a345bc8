/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Wire format between the kernel side and the collector: every record of the ring buffer starts with struct lw_event.
 * Kinds are append-only. Compiles as BPF C, C11 and C++20; layouts are asserted at the end. Times are CLOCK_MONOTONIC
 * nanoseconds, pid and tid are those of the initial PID namespace, pointers are addresses in the target. */
#ifndef LW_EVENT_H
#define LW_EVENT_H

#ifndef __bpf__
#include <stdint.h>
typedef uint64_t __lw_u64;
typedef uint32_t __lw_u32;
typedef int32_t __lw_s32;
typedef uint8_t __lw_u8;
#else
typedef __u64 __lw_u64;
typedef __u32 __lw_u32;
typedef __s32 __lw_s32;
typedef __u8 __lw_u8;
#endif

#define LW_SOURCES 4 /* distinct blocking places kept per dispatch; the rest is summed and counted */
#define LW_STACK_BYTES \
    32768 /* user stack kept per place: libuv's frame alone has 12 KiB of events, twice in a nested loop */
#define LW_ABOVE_LOOP 2048 /* bytes above the loop function's frame: main, the thread's start */
#define LW_RED_ZONE 128    /* bytes below SP that a leaf function may use (x86-64 psABI) */
#define LW_CHAIN 8         /* frames of an await chain */
#define LW_NAME_BYTES 64
#define LW_LABEL_BYTES 128
#define LW_COMM_BYTES 16
#define LW_WAKER_DEPTH 16
#define LW_KERNEL_DEPTH 32
#define LW_PATH_PARTS 6
#define LW_PATH_PART_BYTES 40
#define LW_PATH_GIVEN 0xffffu /* `parts`: no parts, but the text that the call was given */
#define LW_STEP_ARGS 4
#define LW_CALLS 31 /* LW_STACK_DEPTH of loop_state.h */

enum lw_event_kind {
    LW_EVENT_LOOP_START = 1, /* struct lw_loop_started; from the shim, also its name in LW_NAME_BYTES */
    LW_EVENT_LOOP_STOP = 2, /* struct lw_loop_started, and its struct lw_loop_slot if that could be read */
    LW_EVENT_DISPATCH = 3,  /* a dispatch ended that was slow or held a long block: closes what SOURCE records opened */
    LW_EVENT_SOURCE = 4,    /* one place in which a dispatch blocked */
    LW_EVENT_SAMPLE = 5,    /* the CPU was found in an overdue dispatch */
    LW_EVENT_CALL = 6,      /* the shim timed a libc call */
    LW_EVENT_STEPS = 7,     /* trace probes, one misuse probe: struct lw_step after struct lw_step */
    LW_EVENT_WAKE = 8,      /* a loop runs again while the watchdog sleeps */
    LW_EVENT_EXIT = 9,      /* a loop's thread ended without loop_stop */
    LW_EVENT_WAIT = 10,     /* a wait at a place that nobody has judged yet: struct lw_wait */
    LW_EVENT_WAKER = 11,    /* the stack of who ended a long block, before the SOURCE record that names it */
    LW_EVENT_CHILD = 12, /* a watched process has forked, with cfg_follow, or one of cfg_name: pid is the child, tid its
                            parent's pid */
    LW_EVENT_ITERATION = 13, /* of many dispatches, none of them slow: struct lw_iteration */
    LW_EVENT_THROWN = 14,    /* where the exception was thrown of which the next step of this time tells */
    LW_EVENT_EXEC = 15, /* a watched process, or one of cfg_name, runs another image: execve; tid: of the thread that
                           called it, until then */
    LW_EVENT_ENDED = 16, /* a watched process ends: struct lw_ended */
};

/* What goes wrong in the kernel, each by its name; index of the `losses` map. */
#define LW_LOSSES(X)                                                                            \
    X(ring_full, "the ring buffer had no room for a record")                                    \
    X(slot_unreadable, "a loop's slot was not resident or torn")                                \
    X(loops_untracked, "more loops than --max-loops, or than 256 of a process")                 \
    X(sources_overflow, "a place of a dispatch that blocked in more than 4: the shortest")      \
    X(stack_unreadable, "not one byte of a user stack could be read")                           \
    X(stack_truncated, "a user stack was longer than 32 KiB or not resident")                   \
    X(stack_budget, "stacks beyond the budget of 2,000 a second")                               \
    X(stack_pool_empty, "a stack for which there was no room beside those of blocked threads")  \
    X(task_unreadable, "a task record was not resident or wild")                                \
    X(detail_unreadable, "the shim's call detail was not resident")                             \
    X(dispatch_stateless, "a slow dispatch of a loop that was not known")                       \
    X(sites_overflow, "a loop waited in more than 16 places")                                   \
    X(switch_unseen, "a loop thread came back to its CPU unseen: part of the split is a guess") \
    X(time_wild, "a probe argument was a time in the future: replaced by the time of the probe")

enum lw_loss {
#define X(name, doc) LW_LOSS_##name,
    LW_LOSSES(X)
#undef X
        LW_LOSS_COUNT
};

/* Our programs, for the overhead estimate; index of the `runs` map. */
enum lw_run {
    LW_RUN_switch_other, /* a context switch that concerned no loop */
    LW_RUN_switch_loop,
    LW_RUN_waking,
    LW_RUN_slow_probe,
    LW_RUN_trace_probe,
    LW_RUN_sample,
    LW_RUN_wait,           /* a wait of a thread of a watched process */
    LW_RUN_wait_other,     /* of any other */
    LW_RUN_resume,         /* a coroutine's body was entered, with --coroutines */
    LW_RUN_resume_stepped, /* one that begins with an instruction that takes a second trap */
    LW_RUN_throw,          /* an exception was thrown, with --debug */
    LW_RUN_COUNT
};

struct lw_event {
    __lw_u32 kind;
    __lw_u32 size; /* of the whole record */
    __lw_u64 time_ns;
    __lw_u32 pid;
    __lw_u32 tid;
    __lw_u64 loop_id;
    __lw_u64 seq; /* of the dispatch (odd), 0 outside of one; of LW_EVENT_STEPS: how many, 0: one */
};

struct lw_ended {
    struct lw_event event;
    __lw_s32 status; /* as wait(2) shows it */
    __lw_u32 reserved;
};

/* A task as it was while it ran; addresses lead to struct lw_location in the target. */
struct lw_task_view {
    __lw_u64 id; /* 0: none, or unreadable */
    __lw_u64 parent_id;
    __lw_u64 created_at;
    __lw_u64 cancelled_by;
    __lw_u32 state;
    __lw_u32 chain_length;
    __lw_u64 chain_created[LW_CHAIN]; /* innermost first */
    __lw_u64 chain_suspended[LW_CHAIN];
    char name[LW_NAME_BYTES];
    char labels[LW_LABEL_BYTES]; /* a line "key=value" each */
};

/* x86-64 registers in the order of DWARF's numbering: rax rdx rcx rbx rsi rdi rbp rsp r8 … r15 rip. */
struct lw_registers {
    __lw_u64 dwarf[17];
};
#define LW_REG_RSP 7
#define LW_REG_RIP 16

struct lw_stack {
    struct lw_registers registers;
    __lw_u64 base;      /* address of the first byte */
    __lw_u32 bytes;     /* how many follow the record */
    __lw_u32 truncated; /* the copy ends below the loop's frame */
};

/* Who was on the CPU when a block of at least the block threshold was ended, and how it came to that: if the kernel
 * stack passes through an interrupt's entry, that thread had nothing to do with it. */
struct lw_waker {
    __lw_u32 pid, tid; /* tid 0: not seen */
    char comm[LW_COMM_BYTES];
    __lw_u32 depth;
    __lw_u32 reserved;
    __lw_u64 runq_ns; /* part of the block for which the waker, a loop itself, waited for a CPU */
    __lw_u64 kernel_stack[LW_WAKER_DEPTH];
};

/* The file behind the first argument of a blocking call, as it was then: the descriptor may be closed when the dispatch
 * ends. */
struct lw_file {
    __lw_u32 mode; /* st_mode; 0: no descriptor */
    __lw_u32 parts;
    __lw_u64 inode;
    char path[LW_PATH_PARTS]
             [LW_PATH_PART_BYTES]; /* innermost first; the way to the root of its mount, cut at LW_PATH_PARTS */
};

/* A process that had the CPU while a loop thread waited for it. */
struct lw_preemptor {
    __lw_u32 pid, tid;
    char comm[LW_COMM_BYTES];
    __lw_u64 had_ns;
};

/* A thread's waits for a CPU. */
#define LW_PREEMPTORS 4
struct lw_contention {
    __lw_u32 used, reserved;                       /* of `preemptors` */
    __lw_u64 longest_ns;                           /* of all waits */
    struct lw_preemptor preemptors[LW_PREEMPTORS]; /* those that had it longest, more or less */
};

/* One entry into a coroutine's body, of a program that knows nothing of us. Its stack pointer tells its activation: a
 * frame that is unwound has its CFA eight bytes above. */
struct lw_resume {
    __lw_u64 frame;    /* address of the coroutine's frame; 0: none */
    __lw_u64 function; /* of its body */
    __lw_u64 sp;
    __lw_u64 return_address;
};

struct lw_loop_started {
    struct lw_event event;
    __lw_u64 slot;
    __lw_u32 abi;
    __lw_u32 started; /* 0: loop_stop */
};

/* Where the thread of a loop without a slot waited within an iteration, in a place that nobody had judged when that
 * ended: if the loop idles there, it was more than one. Several waits in a row if what lies between was not slow. */
struct lw_park {
    __lw_u64 since_ns, left_ns; /* 0: none */
    __lw_u64 ip, sp, object;    /* the place, as in struct lw_site */
    __lw_u32 syscall, reserved;
};
#define LW_UNSURE 4

struct lw_dispatch {
    struct lw_event event;
    __lw_u64 start_ns, end_ns;
    __lw_u64 task_id;
    __lw_u64 resume; /* struct lw_location in the target */
    __lw_u64 blocked_ns, runq_ns, throttled_ns, stopped_ns;
    __lw_u32 blocks, preemptions;
    __lw_u32 slow; /* reached the threshold */
    __lw_u32 sources;
    __lw_u64 other_blocked_ns; /* part of blocked_ns in places beyond LW_SOURCES */
    __lw_u64 impact_tasks, impact_max_ns, impact_total_ns;
    __lw_u64 entered_ns, seen_ns; /* as in struct lw_loop */
    __lw_u64 unclear;             /* may be several iterations: it passed a place for which there was no room */
    struct lw_contention contention;
    struct lw_resume coroutine; /* whose resume this part of an iteration began with */
    struct lw_park parks[LW_UNSURE];
    struct lw_task_view task;
};

struct lw_iteration {
    struct lw_event event; /* seq: of its last dispatch */
    __lw_u64 start_ns, end_ns;
    __lw_u64 dispatches;
    __lw_u64 blocked_ns, runq_ns, throttled_ns, stopped_ns; /* of those dispatches in which a context switch was seen */
    __lw_u64 entered_ns;
};

struct lw_source {
    struct lw_event event;
    __lw_u32 index; /* within the dispatch */
    __lw_u32 count; /* blocks summed so far */
    __lw_u64 total_ns, longest_ns;
    __lw_s32 syscall; /* -1: none (page fault) */
    __lw_u32 state;   /* task state it slept in */
    __lw_u64 args[6];
    __lw_u32 single; /* one block that just ended, sent because it reached the block threshold */
    __lw_u32 reserved;
    __lw_u64 block_start_ns, block_end_ns; /* of the last block */
    struct lw_waker waker;
    struct lw_file file;
    __lw_u32 kernel_depth; /* with cfg_kernel_stacks */
    __lw_u32 padding;
    __lw_u64 kernel_stack[LW_KERNEL_DEPTH];
    struct lw_task_view task;
    struct lw_stack stack; /* followed by stack.bytes bytes */
};

struct lw_sample {
    struct lw_event event;
    __lw_u64 stands_for_ns; /* CPU time of its thread since the sample before */
    struct lw_task_view task;
    struct lw_stack stack;
};

struct lw_call {
    struct lw_event event;
    __lw_u64 start_ns, end_ns;
    __lw_u64 caller, arg;
    __lw_s32 fd;
    __lw_u32 more; /* short ones from the same place in the same dispatch, which are told with this one */
    __lw_u64 more_ns, more_longest_ns;
    char call[32];
    char text[104];
    char target[104]; /* from the shim's ring: what `fd` was then, as readlink of /proc/self/fd tells; empty: unknown */
    struct lw_task_view task;
    struct lw_stack stack;
};

/* `event` is the loop's, `waker` that of the block which just ended. */
struct lw_waker_stack {
    struct lw_event event;
    __lw_u32 waker_pid, waker_tid;
    struct lw_stack stack; /* followed by stack.bytes bytes */
};

/* May an idle thread of a pool wait so? With FUTEX_WAIT_BITSET on a condition variable or semaphore of glibc, folly or
 * Rust, with FUTEX_WAIT on one of GLib, parking_lot or Go. Mutexes wait with FUTEX_WAIT too, for a word that says
 * "locked, and somebody waits": 2, without a time-out. */
#define LW_MAY_PARK(op, value, timeout) \
    (((op)&0x7f) == 9 || (((op)&0x7f) == 0 && ((__lw_u32)(value) != 2 || (timeout) != 0)))

/* What the `args` of a wait are. */
enum lw_wait_args {
    LW_WAIT_ARGS_CALL = 1,  /* of the system call */
    LW_WAIT_ARGS_PLACE = 2, /* the fields of the shim's struct Place: `ip`, `frame`, `object` */
};

/* A system call that may be where a loop idles, about to be made or slept in. From the shim, which knows the place in
 * the code that called libc, `syscall` is one that waits so. */
#define LW_POLLED_BYTES 128
struct lw_wait {
    struct lw_event event;
    __lw_s32 syscall;
    __lw_u32 polled_bytes; /* of `polled`; 0: it does not poll or select, or that could not be read */
    __lw_u64 args[6];
    __lw_u8 polled[LW_POLLED_BYTES]; /* the first of its struct pollfd; for select, its set of those to be read */
    __lw_u32 args_are;               /* enum lw_wait_args */
    __lw_u32 reserved;
    struct lw_stack stack; /* followed by stack.bytes bytes */
};

/* An exception that nobody looked at; `event` is of the thread that let go of it. */
struct lw_thrown {
    struct lw_event event;
    __lw_u64 object, type; /* as __cxa_throw was given them */
    struct lw_stack stack; /* of who threw it; followed by stack.bytes bytes */
};

/* Of a misuse, read while the target stands at its probe: a moment later it may have ended. */
struct lw_misuse {
    __lw_u64 in_task;  /* id of the task in whose dispatch it happened; 0: in none */
    __lw_u64 location; /* address of the first struct lw_location that the probe names; 0: it names none */
    __lw_u64 asked_ns; /* task_cancelled: when it was first asked to stop; 0: not known */
    __lw_u32 line;
    __lw_u32 reserved;
    char file[80];
    char function[80];
    __lw_u64 call_count; /* of those that opened it (resource_leak) or called it (coroutine_never_awaited), as struct
                            lw_backtrace has them */
    __lw_u64 calls[LW_CALLS];
    struct lw_task_view task; /* whom it concerns, if the probe names its record; else in whose dispatch it happened */
};

/* A probe that is only told of. Time and thread of a batch's lw_event are its first step's. */
struct lw_step {
    __lw_u64 time_ns;
    __lw_u32 probe; /* id in probes.def */
    __lw_u32 size;  /* up to `text`, up to `misuse`, or all of it */
    __lw_u64 args[LW_STEP_ARGS];
    char text[LW_NAME_BYTES]; /* name or reason, where the probe has one */
    struct lw_misuse misuse;
};

#ifdef __cplusplus
#define LW_EVENT_ASSERT static_assert
#else
#define LW_EVENT_ASSERT _Static_assert
#endif
LW_EVENT_ASSERT(sizeof(struct lw_event) == 40, "layout of lw_event");
LW_EVENT_ASSERT(sizeof(struct lw_task_view) == 40 + 16 * LW_CHAIN + LW_NAME_BYTES + LW_LABEL_BYTES,
                "layout of lw_task_view");
LW_EVENT_ASSERT(sizeof(struct lw_stack) == 152, "layout of lw_stack");
LW_EVENT_ASSERT(sizeof(struct lw_dispatch) == 352 + LW_UNSURE * sizeof(struct lw_park) + sizeof(struct lw_task_view),
                "layout of lw_dispatch");
LW_EVENT_ASSERT(sizeof(struct lw_source) == 144 + sizeof(struct lw_waker) + sizeof(struct lw_file) + 8 +
                                                8 * LW_KERNEL_DEPTH + sizeof(struct lw_task_view) +
                                                sizeof(struct lw_stack),
                "layout of lw_source");
LW_EVENT_ASSERT(sizeof(struct lw_waker_stack) == 48 + sizeof(struct lw_stack), "layout of lw_waker_stack");
LW_EVENT_ASSERT(sizeof(struct lw_thrown) == 56 + sizeof(struct lw_stack), "layout of lw_thrown");
LW_EVENT_ASSERT(sizeof(struct lw_wait) == 104 + LW_POLLED_BYTES + sizeof(struct lw_stack), "layout of lw_wait");
LW_EVENT_ASSERT(sizeof(struct lw_step) == 112 + sizeof(struct lw_misuse), "layout of lw_step");

#endif
