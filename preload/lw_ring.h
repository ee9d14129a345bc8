/* SPDX-License-Identifier: Apache-2.0
 *
 * What the shim and the collector share where there is no kernel side: a file, one a process, made by the shim in the
 * directory that `loopwatch run` names to it. Each loop's thread has a lane, so that there is one writer and one reader
 * and no lock; a thread that dies amidst a record has not moved `head`, and what it wrote does not exist. Records are
 * those of bpf/lw_event.h. The shim maps it, the collector reads it, as a file that its owner cuts short would end one
 * who has mapped it; it trusts nothing in it.
 */
#ifndef LW_RING_H
#define LW_RING_H

#include <loopwatch/loop_state.h>

#include <lw_event.h>

/* PID:THRESHOLD_NS:BLOCK_THRESHOLD_NS:NAMESPACE:DIRECTORY, set by `loopwatch run`. PID is the process it is for, 0: its
 * children too; NAMESPACE the inode of the PID namespace in which the collector reads pids, 0: not known. */
#define LW_RUN_VARIABLE "LOOPWATCH_RUN"

/* PID:FD:INODE:, set by `loopwatch run` with the kernel side: before main() process PID writes a byte to that socket, and waits until
 * there is one to read or the other end is closed. So that it is watched from its first instruction on. */
#define LW_HOLD_VARIABLE "LOOPWATCH_HOLD"

/* How many seccomp filters are known to only refuse what they do not allow: set by `loopwatch run` to the number under
 * which it runs itself, once it has tried the shim's system calls, or by hand. Of a process with more the shim does not
 * know what they would do to it, and makes no system call. */
#define LW_FILTERS_VARIABLE "LOOPWATCH_FILTERS"

#define LW_RING_DRAFT "~"                 /* at the end of a file's name: nothing to read yet */
#define LW_RING_UNWATCHED "children" LW_RING_DRAFT /* made by a child that is not asked to tell */
#define LW_RING_ELSEWHERE "namespace" LW_RING_DRAFT /* by a process whose numbers mean others to the collector */
#define LW_RING_MAGIC 0x31676e6972776cull /* "lwring1", little endian */
#define LW_RING_ABI 4u
#define LW_LANES 32
#define LW_LANE_BYTES (1u << 20)
#define LW_RECORD_ALIGN 8u
#define LW_IDLE 7

/* Has a call that the shim made itself, as the program would, come by its wrapper? */
enum lw_canary { LW_CANARY_NOT_YET = 0, LW_CANARY_SEEN = 1, LW_CANARY_UNSEEN = 2 };

/* A call that goes on: what a stall stands in. */
struct lw_ongoing {
    lw_u64 seq;      /* of the dispatch it is in, stored last; another one, or 0: there is none */
    lw_u64 start_ns; /* CLOCK_MONOTONIC */
    lw_u64 caller;   /* return address into the code that called libc */
    char call[32];
    struct lw_registers registers; /* of the frame that measures, which stays where it is until the call returns */
};

struct lw_lane {
    /* written by the loop's thread */
    lw_u32 tid;             /* in its own PID namespace; 0: nobody's */
    lw_u32 registrations;   /* how many loops have had it */
    lw_u64 slot;            /* address of the loop's slot in the process; 0: lw_lane_body's `own`, as it has none */
    lw_u64 head;            /* bytes of records so far */
    lw_u64 lost;            /* records for which there was no room */
    lw_u64 stacks_left_out; /* of records that were written without, as the lane was half full */
    lw_u64 calls;           /* measured */
    lw_u64 draft;           /* up to here stands what is told only if the dispatch that goes on turns out to be slow */
    lw_u32 candidate;       /* 1: its thread has waited for events, but too few times to be known as a loop's */
    lw_u32 held;            /* intervals of a candidate that would be findings of a loop's */
    /* written by the collector */
    lw_u64 tail;             /* bytes of records that it has read */
    lw_u64 idle[LW_IDLE];    /* places of its waits on locks that are its loop's own: lw_place_key; 0: none */
};

/* A wait of the place that calls it, in the frame that it has. */
static inline lw_u64 lw_place_key(lw_u64 ip, lw_u64 frame)
{
    return ip ^ (frame << 16 | frame >> 48);
}

struct lw_lane_body {
    struct lw_ongoing ongoing;
    struct lw_loop_slot own;
    unsigned char records[LW_LANE_BYTES]; /* a ring; no record goes over its end: one of kind 0 fills the rest */
};

struct lw_ring {
    lw_u64 magic; /* stored last */
    lw_u32 abi;
    lw_u32 bytes;         /* of this file */
    lw_u32 pid;           /* in its own PID namespace */
    lw_u32 lanes_refused; /* loops for which there was no lane */
    lw_u32 canary;        /* enum lw_canary; stored after magic */
    lw_u32 sandboxed; /* 1: it has a seccomp filter of its own, and the shim makes no system call any more */
    lw_u64 image; /* AT_RANDOM of its auxiliary vector: another image of the process has another one; 0: not known */
    char name[16]; /* of the file that was executed, without its directory; cut off, ends in 0 */
    lw_u64 slots_copied; /* bit n: the process runs its exit handlers, and `own` of lane n is a copy of the loop's slot */
    lw_u64 reserved[8];
    struct lw_lane lanes[LW_LANES];
    struct lw_lane_body bodies[LW_LANES];
};

LW_ASSERT(__builtin_offsetof(struct lw_lane, tail) == 64, "the collector's cache line of lw_lane");
LW_ASSERT(sizeof(struct lw_lane) == 128 && __builtin_offsetof(struct lw_ring, lanes) == 128, "layout of lw_ring");
LW_ASSERT(__builtin_offsetof(struct lw_lane_body, records) % 64 == 0, "cache lines of lw_lane_body");

#endif
