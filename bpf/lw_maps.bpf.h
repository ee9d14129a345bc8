/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * State of the kernel side. One entry of `loops` per loop thread, keyed by tid (the initial namespace's): a hash, since
 * task storage cannot be filled from user space for other threads before kernel 6.9, and a loop that ran before the
 * attach must be entered by the collector. The big buffers stand apart in `stacks`: few loops are blocked within a
 * dispatch at a time, so they are shared. */
#ifndef LW_MAPS_BPF_H
#define LW_MAPS_BPF_H

#include "lw_config.h"

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, struct lw_loop);
} loops __weak SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, struct lw_record);
} records __weak SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, struct lw_buffer);
} stacks __weak SEC(".maps");

/* Those that no thread has: their indexes, filled by the collector. The last one comes first, as it is in the CPU's
 * cache. */
struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, 64);
    __type(value, __u32);
} free_stacks __weak SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, struct lw_batch);
} batches __weak SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, struct lw_unprobed);
} unprobed __weak SEC(".maps");

/* So that a thread which polls but runs no loop is asked about once a place, not once a poll. The oldest is forgotten:
 * asked again, nothing worse. Each such thread has one more entry, for its last wait (struct lw_asked). */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct lw_site_key);
    __type(value, struct lw_asked);
} asked __weak SEC(".maps");

/* One question a CPU, while it is put together: the thread has no buffers yet. `raw` as in lw_buffer. No per-CPU map:
 * those take 32 KiB a value at most. The collector knows how many CPUs there are. */
struct lw_question {
    union {
        struct lw_wait wait;
        __u8 raw[sizeof(struct lw_wait) + LW_STACK_BYTES + 4096];
    };
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct lw_question);
} questions __weak SEC(".maps");

/* Where exceptions were thrown, with --debug: the last LW_THROWN of them, by their object. A process that throws so
 * many while a failed task's handle is kept loses its place: then it is not told. */
#define LW_THROWN 256
struct lw_thrown_room {
    union {
        struct lw_thrown thrown;
        __u8 raw[sizeof(struct lw_thrown) + LW_STACK_BYTES + 4096];
    };
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, LW_THROWN);
    __type(key, __u32);
    __type(value, struct lw_thrown_room);
} thrown __weak SEC(".maps");

struct lw_thrown_key {
    __u64 object;
    __u32 pid, reserved;
};
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4 * LW_THROWN); /* an LRU gives up some of the young too */
    __type(key, struct lw_thrown_key);
    __type(value, __u32);
} thrown_objects __weak SEC(".maps");

/* A misuse while it is put together: too large for the stack, and it may happen on a thread that has no buffers. */
#define LW_MISUSES 64
struct lw_misuse_room {
    struct lw_event event;
    struct lw_step step;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, LW_MISUSES);
    __type(key, __u32);
    __type(value, struct lw_misuse_room);
} misuses __weak SEC(".maps");

/* tid << 32 | buffer of the loop thread that traced last of those that share an entry: a look-up in `loops` costs 17
 * ns, here 3. Always together with the tid it belongs to, so a wrong entry is a miss. */
#define LW_HINTS 1024
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, LW_HINTS);
    __type(key, __u32);
    __type(value, __u64);
} hints __weak SEC(".maps");

/* Free indexes of `records`, `unprobed` and `batches`, filled by the collector. */
struct {
    __uint(type, BPF_MAP_TYPE_QUEUE);
    __uint(max_entries, 64);
    __type(value, __u32);
} free_buffers __weak SEC(".maps");

/* Watched processes. Needed because a probe attached for every process (attach rung perf-all) fires in all of them. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u32);
    __type(value, struct lw_target);
} targets __weak SEC(".maps");

static __always_inline bool is_target(__u32 pid)
{
    return !cfg_filter_pids || bpf_map_lookup_elem(&targets, &pid);
}

/* Does a dispatch that lasted so long reach its process's threshold? */
static __always_inline bool is_slow(__u32 pid, __u64 lasted)
{
    const struct lw_target *target = lasted >= cfg_threshold_ns ? bpf_map_lookup_elem(&targets, &pid) : NULL;
    return target && lasted >= target->threshold_ns;
}

static __always_inline bool is_long_block(__u32 pid, __u64 lasted)
{
    const struct lw_target *target = lasted >= cfg_block_threshold_ns ? bpf_map_lookup_elem(&targets, &pid) : NULL;
    return target && lasted >= target->block_threshold_ns;
}

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 8 << 20);
} events __weak SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, LW_LOSS_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} losses __weak SEC(".maps");

/* How often each program ran: what the overhead estimate multiplies by a calibrated cost. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, LW_RUN_COUNT);
    __type(key, __u32);
    __type(value, __u64);
} runs __weak SEC(".maps");

#endif
