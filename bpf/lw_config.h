/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Knobs the collector sets before loading (rodata: the verifier folds them) and the few words shared while running. All
 * weak: every object that includes this defines them, and the static linker merges weak definitions only. */
#ifndef LW_CONFIG_H
#define LW_CONFIG_H

#include "lw_state.h"

/* The least of all targets; what does not reach it is not looked up in `targets`. */
const volatile __u64 cfg_threshold_ns __weak = 100000000;
const volatile __u64 cfg_block_threshold_ns __weak = 10000000;
const volatile __u32 cfg_stacks_per_second __weak = 2000;
const volatile __u32 cfg_filter_pids __weak = 1; /* attached for every process: attach rung perf-all */
const volatile __u32 cfg_trace __weak = 0;
const volatile __u32 cfg_follow __weak = 0;
/* Processes of this name are reported when they begin, watched or not: its first bytes, as many as a comm has. */
#define LW_COMM 16
const volatile char cfg_name[LW_COMM] __weak = {};
/* All processes are reported when they execute a program. The collector looks at the ring on a timer for them. */
const volatile __u32 cfg_all_execs __weak = 0;
const volatile __u32 cfg_kernel_stacks __weak = 0; /* about 3 us each */

/* Of a system call: 1 + which of its first two arguments is a path, 0: none. From the collector's table of calls. */
#define LW_SYSCALLS 512
const volatile __u8 cfg_path_argument[LW_SYSCALLS] __weak = {};

/* Set by the collector when all loops are idle and its watchdog stops ticking; cleared by the first loop that runs
 * again. */
volatile __u32 watchdog_asleep __weak = 0;

/* How many loop threads have a tid with this remainder. Most context switches of a machine concern no loop: zero says
 * so in one load, where each look-up in `loops` costs 20-60 ns, by the CPU's mitigations. Both sides count. */
#define LW_CROWD 1024
__u32 crowd[LW_CROWD] __weak = {};
/* How many of them are blocked within a dispatch. Who wakes a loop that idles so touches nothing that the loop's
 * thread, on another CPU, has just written: 180 ns a wake, instead of 300 to 460. */
__u32 crowd_blocked[LW_CROWD] __weak = {};
/* How many processes that are watched without probes have a pid with this remainder. The collector counts. */
__u32 unprobed_pids[LW_CROWD] __weak = {};

/* What is bounded for all processes together has a part for each: of the loops, as many as are counted here are kept
 * for processes with fewer than LW_ASSURED_LOOPS, where several are watched. By pid with this remainder; both sides
 * count. */
const volatile __u32 cfg_max_loops __weak = 64;
volatile __u32 reserved_loops __weak = 0;
__u32 loops_entered __weak = 0;
__u32 loops_by_pid[LW_CROWD] __weak = {};

/* Likewise the stacks of all loops. */
const volatile __u32 cfg_max_stacks __weak = 64;
__u32 stacks_taken __weak = 0;
__u32 stacks_taken_by_pid[LW_CROWD] __weak = {};

/* Over all loops, and by pid with this remainder. Racy on purpose: a few too many are no harm. */
struct lw_window stack_window __weak = {};
struct lw_window stacks_by_pid[LW_CROWD] __weak = {};
struct lw_window bytes_by_pid[LW_CROWD] __weak = {};

/* How many exceptions were thrown, and misuses told, since the load: who is the next to take a room of `thrown` or
 * `misuses`. */
__u32 throws __weak = 0;
__u32 misuses_told __weak = 0;

/* Whose threads the iterator tells. */
volatile __u32 iterated_pid __weak = 0;

#endif
