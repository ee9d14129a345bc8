/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Loops of programs that carry no probes: an iteration lasts from the return of one wait of the loop's own to the next.
 * Which waits are the loop's own, stack depth cannot tell (an epoll_wait may lie deeper than a sleep in a callback: the
 * reactor keeps its events on the stack); the collector tells, once a place, by the call chain. Until it has, nothing
 * begins or ends there. */
#ifndef LW_UNPROBED_BPF_H
#define LW_UNPROBED_BPF_H

#include "lw_blocks.bpf.h"

#define NR_futex 202
#define NR_restart_syscall 219
enum {
#define LW_WAIT(number, name, what) NR_##name = number,
#include "lw_waits.def"
#undef LW_WAIT
};

#define IO_URING_GETEVENTS 1

static __always_inline bool polls_for_events(long syscall)
{
    switch (syscall) {
#define LW_WAIT(number, name, what) case number:
#include "lw_waits.def"
#undef LW_WAIT
        return true;
        default: return false;
    }
}

/* A wait for whatever comes next: what makes a thread a loop, if it does so at one place again and again. */
static __always_inline bool waits_for_events(const struct pt_regs *regs)
{
    const long syscall = regs->orig_ax;
    if (syscall == NR_poll || syscall == NR_ppoll) return regs->si > 0;
    if (syscall == NR_select || syscall == NR_pselect6) return regs->di > 0; /* none: a way to sleep */
    if (syscall == NR_io_uring_enter) return regs->dx > 0 && regs->r10 & IO_URING_GETEVENTS;
    return polls_for_events(syscall);
}

/* And those of a thread that is a loop: idle threads of a pool park on a condition variable. */
static __always_inline bool may_idle(const struct pt_regs *regs)
{
    if (regs->orig_ax == NR_futex) return LW_MAY_PARK(regs->si, regs->dx, regs->r10);
    if (regs->orig_ax == NR_io_uring_enter || regs->orig_ax == NR_select || regs->orig_ax == NR_pselect6)
        return waits_for_events(regs);
    return regs->orig_ax == NR_restart_syscall || polls_for_events(regs->orig_ax);
}

#define LW_WAITS_FOR_OBJECT(regs) ((regs)->di)
#define LW_WAITS_FOR_POLL(regs) (is_lone_poll(regs) ? LW_LONE_POLL : 0)

static __always_inline bool is_lone_poll(const struct pt_regs *regs)
{
    return (regs->orig_ax == NR_poll || regs->orig_ax == NR_ppoll) && regs->si == 1;
}

static __always_inline __u64 object_of(const struct pt_regs *regs)
{
    switch (regs->orig_ax) {
#define LW_WAIT(number, name, what) \
    case number:                    \
        return LW_WAITS_FOR_##what(regs);
#include "lw_waits.def"
#undef LW_WAIT
        default: return 0;
    }
}

static __always_inline void read_polled(struct lw_wait *wait, const struct pt_regs *regs)
{
    const bool selects = regs->orig_ax == NR_select || regs->orig_ax == NR_pselect6;
    if (!selects && regs->orig_ax != NR_poll && regs->orig_ax != NR_ppoll) return;
    __u64 bytes = selects ? (regs->di + 7) / 8 : regs->si * 8; /* sizeof(struct pollfd) */
    if (bytes > LW_POLLED_BYTES) bytes = LW_POLLED_BYTES;
    if (bpf_probe_read_user(wait->polled, bytes, (void *)(selects ? regs->si : regs->di)) == 0)
        wait->polled_bytes = bytes;
}

/* Reads the stack of the current thread, whose registers are in the question, and what it polls, and sends that. */
__weak __noinline int send_question(void)
{
    const __u32 cpu = bpf_get_smp_processor_id();
    struct lw_question *asked_ = bpf_map_lookup_elem(&questions, &cpu);
    if (!asked_) return 0;
    struct lw_wait *wait = &asked_->wait;
    read_polled(wait, registers_of(bpf_get_current_task_btf()));
    read_stack(&wait->stack, (void *)(asked_->raw + sizeof(*wait)), 0);
    __u32 bytes = wait->stack.bytes;
    barrier_var(bytes); /* as in emit_with_stack */
    if (bytes > LW_STACK_BYTES) bytes = LW_STACK_BYTES;
    wait->event.size = sizeof(*wait) + bytes;
    emit(asked_, sizeof(*wait) + bytes, 0);
    return 0;
}

static __always_inline void ask(const struct pt_regs *regs, __u32 pid, __u32 tid, __u64 now)
{
    const __u32 cpu = bpf_get_smp_processor_id();
    struct lw_question *asked_ = bpf_map_lookup_elem(&questions, &cpu);
    if (!asked_) return;
    struct lw_wait *wait = &asked_->wait;
    __builtin_memset(wait, 0, sizeof(*wait));
    wait->event.kind = LW_EVENT_WAIT;
    wait->event.time_ns = now;
    wait->event.pid = pid;
    wait->event.tid = tid;
    wait->syscall = regs->orig_ax;
    wait->args[0] = regs->di;
    wait->args[1] = regs->si;
    wait->args[2] = regs->dx;
    wait->args[3] = regs->r10;
    wait->args[4] = regs->r8;
    wait->args[5] = regs->r9;
    wait->args_are = LW_WAIT_ARGS_CALL;
    read_registers(&wait->stack.registers, regs);
    send_question();
}

/* Index of a place that is known, else how many are. */
static __always_inline __u32 known_site(const struct lw_unprobed *own, const struct pt_regs *regs)
{
    const __u64 object = object_of(regs);
    const __u32 syscall = regs->orig_ax;
    __u32 i = 0;

    for (; i < LW_SITES; i++) {
        if (i >= own->site_count) break;
        const struct lw_site *site = &own->sites[i];
        if (site->ip != regs->ip || site->sp != regs->sp) continue;
        /* A wait that a signal interrupted goes on as restart_syscall. */
        if (syscall == NR_restart_syscall || (site->syscall == syscall && site->object == object)) break;
    }
    return i;
}

/* Which place gives way to a new one, into own->gives_way; LW_SITES: none. Of those that are judged, and whose verdict
 * the iteration needs no more, the one where the thread came least recently: what a callback waited in, else one where
 * the loop idled. A thread that runs one short loop after the other is at each of them for a while and never again. The
 * index stands where the verifier does not follow it: else a session starts 0.9 s later. */
__weak __noinline int find_least_recent(struct lw_unprobed *own)
{
    __u64 least = ~0ull;
    __u32 needed = 0;

    if (!own) return 0;
    own->gives_way = LW_SITES;
    for (__u32 i = 0; i < LW_UNSURE; i++)
        if (i < own->unsure_count) needed |= 1u << (own->unsure[i].site & (LW_SITES - 1));
    for (__u32 i = 0; i < LW_SITES; i++) {
        const __u32 verdict = own->sites[i].verdict;
        __u64 came_ns = own->sites[i].came_ns;
        if ((verdict != LW_VERDICT_BUSY && verdict != LW_VERDICT_IDLE) || needed >> i & 1) continue;
        if (verdict == LW_VERDICT_IDLE) came_ns |= 1ull << 63;
        if (came_ns >= least) continue;
        least = came_ns;
        own->gives_way = i;
    }
    return 0;
}

/* The loop may idle where it is, and nothing will ever say so: what is timed until it idles elsewhere may be several
 * iterations. */
static __always_inline void lose_site(struct lw_unprobed *own)
{
    lose(LW_LOSS_sites_overflow);
    own->unclear_seq = own->slot.seq;
}

/* Index of the place; a new one is asked about. */
static __always_inline __u32 site_of(const struct lw_loop *loop, struct lw_unprobed *own, __u32 tid,
                                     const struct pt_regs *regs, __u64 now)
{
    __u32 i = known_site(own, regs);
    if (i < LW_SITES && i < own->site_count) {
        own->sites[i].came_ns = now;
        if (own->sites[i].verdict == LW_VERDICT_ASK) {
            own->sites[i].verdict = LW_VERDICT_NONE;
            ask(regs, loop->pid, tid, now);
        }
        return i;
    }
    if (regs->orig_ax == NR_restart_syscall) return LW_NO_SITE;
    if (i >= LW_SITES) {
        find_least_recent(own);
        i = own->gives_way;
        if (i >= LW_SITES) {
            lose_site(own);
            return LW_NO_SITE;
        }
        if (own->polled_site == i) own->polled_ns = 0;
    } else {
        own->site_count = i + 1;
    }
    struct lw_site *site = &own->sites[i & (LW_SITES - 1)];
    site->ip = regs->ip;
    site->sp = regs->sp;
    site->object = object_of(regs);
    site->syscall = regs->orig_ax;
    site->verdict = LW_VERDICT_NONE;
    site->ends = 0;
    site->came_ns = now;
    ask(regs, loop->pid, tid, now);
    return i;
}

/* A thread that runs no loop, as far as is known, of a process without probes. */
static __always_inline bool is_stranger(__u32 pid)
{
    return unprobed_pids[pid % LW_CROWD] && bpf_map_lookup_elem(&targets, &pid);
}

/* Where the thread waits: the answer may come when it has gone on to a callback, which began when it polled there if
 * it did not sleep. */
static __always_inline void note_last_wait(const struct lw_site_key *site, __u32 pid, __u64 now, __u32 sleeps)
{
    const struct lw_site_key thread = {site->tid};
    const struct lw_asked here = {now, site->ip, site->sp, site->object, site->syscall, sleeps, 0, pid};
    struct lw_asked *last = bpf_map_lookup_elem(&asked, &thread);
    if (last)
        *last = here;
    else
        bpf_map_update_elem(&asked, &thread, &here, BPF_ANY);
}

/* It may wait for events: asks about the place, once. To update an LRU map takes a free element first, and gives up an
 * entry for it: so it is looked up before. */
static __noinline int stranger_waits(struct task_struct *task, __u32 pid, __u32 tid, __u32 sleeps)
{
    const struct pt_regs *regs = registers_of(task);
    if (!waits_for_events(regs)) return 0;
    const struct lw_site_key key = {tid, regs->orig_ax, regs->ip, regs->sp, object_of(regs)};
    const __u64 now = bpf_ktime_get_ns();
    note_last_wait(&key, pid, now, sleeps);
    const struct lw_asked question = {.born_ns = task->start_time, .pid = pid};
    const struct lw_asked *before = bpf_map_lookup_elem(&asked, &key);
    if (before && before->born_ns == question.born_ns) return 0;
    bpf_map_update_elem(&asked, &key, &question, BPF_ANY);
    ask(regs, pid, tid, now);
    return 0;
}

/* The verdict may still come. */
static __always_inline void tell_parks(struct lw_dispatch *record, const struct lw_unprobed *own)
{
    for (__u32 i = 0; i < LW_UNSURE; i++) {
        if (i >= own->unsure_count) break;
        const struct lw_site *site = &own->sites[own->unsure[i].site & (LW_SITES - 1)];
        struct lw_park *park = &record->parks[i];
        if (site->verdict == LW_VERDICT_BUSY) continue;
        park->since_ns = own->unsure[i].since;
        park->left_ns = own->unsure[i].left_ns;
        park->ip = site->ip;
        park->sp = site->sp;
        park->object = site->object;
        park->syscall = site->syscall;
    }
}

/* Counts one that lasted until `end`; is it slow? Verified once: inlined five times it doubled the time to load. */
__weak __noinline int count_iteration(struct lw_unprobed *own, __u32 pid, __u64 end)
{
    if (!own) return 0;
    struct lw_loop_slot *slot = &own->slot;
    const __u64 lasted = end > slot->start ? end - slot->start : 0;

    slot->busy_ticks += lasted;
    if (lasted > slot->max_ticks) slot->max_ticks = lasted;
    const __u32 bucket = lw_bucket_of(lasted);
    if (bucket < LW_HISTOGRAM_BUCKETS) slot->dispatch_histogram[bucket]++;
    return is_slow(pid, lasted);
}

/* One record for all that has the same seq: what blocked in it, and where, is known by that. The collector parts it at
 * `parks`; a record for each of several parts left all of the stacks to the first of them. */
__weak __noinline int send_iteration(struct lw_loop *loop, struct lw_unprobed *own, __u32 tid, __u64 end, __u64 now)
{
    if (!loop || !own) return 0;
    struct lw_dispatch *record = close_dispatch(loop, tid, own->slot.seq, own->certain_ns, end, now);
    if (!record) return 0;
    record->unclear = own->unclear_seq == own->slot.seq;
    if (own->resumed_seq == own->slot.seq) record->coroutine = own->resume;
    tell_parks(record, own);
    record->slow = own->slow;
    if (own->slow) loop->slow_end_ns = end;
    emit(record, sizeof(*record), 0);
    return 0;
}

/* Returns 1 if what ended was one for sure. */
__weak __noinline int end_part(struct lw_loop *loop, struct lw_unprobed *own, __u32 tid, __u64 end, __u64 now)
{
    if (!loop || !own || !(own->slot.seq & 1)) return 0;
    struct lw_loop_slot *slot = &own->slot;
    bool began = !own->began_unsure;

    own->slow = 0;
    own->certain_ns = slot->start;
    for (__u32 i = 0; i < LW_UNSURE; i++) {
        if (i >= own->unsure_count) break;
        const struct lw_unsure *unsure = &own->unsure[i];
        if (!idles_at(own, unsure->site)) continue;
        if (began && unsure->since > slot->start) own->slow |= count_iteration(own, loop->pid, unsure->since);
        if (unsure->left_ns > slot->start) slot->start = unsure->left_ns;
        if (!began) own->certain_ns = slot->start;
        began = true;
    }
    if (began) {
        own->slow |= count_iteration(own, loop->pid, end);
        if (own->slow || (loop->seq == slot->seq && loop->long_blocks)) send_iteration(loop, own, tid, end, now);
    }
    slot->seq++;
    return began;
}

static __always_inline void end_iteration(struct lw_loop *loop, struct lw_unprobed *own, __u32 tid, __u64 end,
                                          __u64 now)
{
    if (end_part(loop, own, tid, end, now) != 1) return;
    if (own->resumes > 1) tell_iteration(loop, tid, own->slot.iteration_start, end, own->resumes);
    own->slot.iterations++;
}

/* Those that turned out to be a callback's are of no more interest. */
static __noinline int make_room(struct lw_unprobed *own)
{
    __u32 left = 0;

    for (__u32 i = 0; i < LW_UNSURE; i++) {
        if (own->sites[own->unsure[i].site & (LW_SITES - 1)].verdict == LW_VERDICT_BUSY) continue;
        own->unsure[left & (LW_UNSURE - 1)] = own->unsure[i];
        left++;
    }
    own->unsure_count = left;
    return 0;
}

/* Leaves a place that nobody has judged yet, having come there at `since`. If the verdict will be that the loop idles
 * there, an iteration ended and another began: what comes next is watched as if. A callback may pass several: python's
 * waits for a lock and for the GIL, and then epoll_wait in another place as there are threads now. */
static __always_inline void leaves_unsure(struct lw_unprobed *own, __u32 site, __u64 since, __u64 now)
{
    if (!(own->slot.seq & 1)) {
        begin_iteration(own, now);
        own->began_unsure = 1;
    }
    for (__u32 i = 0; i < LW_UNSURE; i++) {
        if (i >= own->unsure_count) break;
        struct lw_unsure *before = &own->unsure[i];
        if (before->site != site || since - before->left_ns >= cfg_threshold_ns) continue;
        before->left_ns = now; /* whatever lies between was not slow */
        return;
    }
    if (own->unsure_count >= LW_UNSURE) make_room(own);
    const __u32 at = own->unsure_count;
    if (at >= LW_UNSURE) return lose_site(own);
    own->unsure[at].site = site;
    own->unsure[at].since = since;
    own->unsure[at].left_ns = now;
    own->unsure_count = at + 1;
}

/* About to poll at a place of its own. Whether it will sleep nobody knows: if not, what follows is the next iteration,
 * so that it begins here. A loop under load may not sleep for seconds, and has no context switch at all. */
static __always_inline void polls(struct lw_loop *loop, struct lw_unprobed *own, __u32 tid, __u32 site, __u64 now)
{
    end_iteration(loop, own, tid, now, now);
    begin_iteration(own, now);
    own->polled_ns = now;
    own->polled_site = site;
    own->sites[site & (LW_SITES - 1)].ends++;
}

/* Goes to sleep at a place of its own. What began with this very call was no iteration, unless it was stopped there. */
static __always_inline void idles(struct lw_loop *loop, struct lw_unprobed *own, __u32 tid, __u64 now)
{
    if (own->woke_ns && now - own->woke_ns > own->awake_ns) own->awake_ns = now - own->woke_ns;
    own->woke_ns = 0;
    if (own->slot.seq & 1 && own->slot.start == own->polled_ns && loop->site == own->polled_site &&
        !(loop->seq == own->slot.seq && is_slow(loop->pid, loop->stopped_ns)))
        own->slot.seq++;
    end_iteration(loop, own, tid, now, now);
    goes_off(loop, tid, LW_OFF_IDLE);
    loop->off_ns = now;
    loop->wake_ns = 0;
    own->slot.poll_since = now;
    own->sites[loop->site & (LW_SITES - 1)].ends++;
}

/* Back on the CPU after a sleep at loop->site. True: it had been idle, or may have been. */
__weak __noinline int woke_from_idle(struct lw_loop *loop, __u32 tid, __u64 now)
{
    struct lw_unprobed *own = loop && !loop->slot ? unprobed_of(loop) : NULL;
    if (!own) return 0;
    const bool idle = idles_at(own, loop->site);
    if (!idle && loop->off != LW_OFF_IDLE) return 0;
    if (idle) {
        end_iteration(loop, own, tid, loop->off_ns, now); /* the verdict came while it slept */
        own->slot.idle_ticks += now - loop->off_ns;
        own->woke_ns = now;
        begin_iteration(own, now);
    }
    own->slot.poll_since = 0;
    goes_off(loop, tid, LW_OFF_NOT);
    return 1;
}

/* A thread that was entered while it went to sleep, in a place of its own, wakes: nobody saw it go. */
static __noinline int woke_unseen(struct lw_loop *loop, struct task_struct *task)
{
    struct lw_unprobed *own = unprobed_of(loop);
    if (!own || own->slot.seq) return 0;
    const __u32 site = known_site(own, registers_of(task));
    if (site < own->site_count && idles_at(own, site)) {
        own->woke_ns = bpf_ktime_get_ns();
        begin_iteration(own, own->woke_ns);
    }
    return 0;
}

/* And once its block has been accounted for, if it was one. */
static __always_inline void leaves_site(struct lw_loop *loop, __u32 tid, __u64 now)
{
    struct lw_unprobed *own = loop->slot ? NULL : unprobed_of(loop);
    const __u32 site = loop->site;
    if (!own || site >= LW_SITES) return;
    loop->site = LW_NO_SITE;
    if (own->sites[site].verdict == LW_VERDICT_NONE) leaves_unsure(own, site, loop->off_ns, now);
}

#endif
