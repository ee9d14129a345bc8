// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Handlers of the target's USDT probes. Arguments stand in the calling convention's registers at every site (probe.hpp;
// the collector refuses a site that says otherwise), the attach cookie is the probe's id in probes.def.
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lw_blocks.bpf.h"
#include "lw_trace.bpf.h"

#define ARG1(ctx) ((ctx)->di)
#define ARG2(ctx) ((ctx)->si)
#define ARG3(ctx) ((ctx)->dx)
#define ARG4(ctx) ((ctx)->cx)
#define ARG5(ctx) ((ctx)->r8)

static __always_inline struct lw_loop *current_loop(void)
{
    const __u32 tid = bpf_get_current_pid_tgid();
    return bpf_map_lookup_elem(&loops, &tid);
}

/* Times in probe arguments come from the target and are not trusted: one in the future would break everything that is
 * ordered by time. Up to 1 ms is the error of the runtime's own clock, and is not counted. */
static __always_inline __u64 clamp_to_now(__u64 time_ns, __u64 now)
{
    if (time_ns <= now) return time_ns;
    if (time_ns - now > 1000000) lose(LW_LOSS_time_wild);
    return now;
}

/* Put together in the room of its records: on the stack it is too large for 6.1. */
static __always_inline void enter_loop(const struct lw_loop_started *record)
{
    __u32 index;
    if (!loop_fits(record->event.pid) || bpf_map_pop_elem(&free_buffers, &index)) return lose(LW_LOSS_loops_untracked);
    struct lw_record *room = bpf_map_lookup_elem(&records, &index);
    if (!room) return;
    struct lw_loop *loop = &room->loop;
    __builtin_memset(loop, 0, sizeof(*loop));
    loop->slot = record->slot;
    loop->loop_id = record->event.loop_id;
    loop->pid = record->event.pid;
    loop->buffer = index;
    loop->entered_ns = loop->seen_ns = record->event.time_ns;
    remember_loop(loop, record->event.tid);
}

static __noinline int loop_start(struct pt_regs *ctx)
{
    const __u64 id = bpf_get_current_pid_tgid();
    const __u32 pid = id >> 32, tid = id;
    if (!bpf_map_lookup_elem(&targets, &pid)) return 0; /* dismissed, and its probes are being detached */
    count_run(LW_RUN_slow_probe);

    const __u32 abi = ARG3(ctx);
    struct lw_loop_started record = {
        .event = {LW_EVENT_LOOP_START, sizeof(record), bpf_ktime_get_ns(), pid, tid, ARG1(ctx), 0},
        .slot = ARG2(ctx),
        .abi = abi,
        .started = 1,
    };
    if (abi == LW_ABI && !bpf_map_lookup_elem(&loops, &tid)) enter_loop(&record);
    emit(&record, sizeof(record), 0);
    return 0;
}

static __noinline int loop_stop(struct pt_regs *ctx)
{
    const __u32 tid = bpf_get_current_pid_tgid();
    struct lw_loop *loop = bpf_map_lookup_elem(&loops, &tid);
    if (!loop || loop->loop_id != ARG1(ctx)) return 0;
    count_run(LW_RUN_slow_probe);
    struct lw_record *room = record_of(loop);
    if (room) {
        struct lw_loop_stopped *record = &room->stopped;
        const bool read = !bpf_probe_read_user(&record->slot, sizeof(record->slot), (void *)loop->slot);
        const __u32 size = read ? sizeof(*record) : sizeof(record->started);
        begin_event(&record->started.event, LW_EVENT_LOOP_STOP, size, loop, tid, bpf_ktime_get_ns());
        record->started.slot = loop->slot;
        record->started.abi = LW_ABI;
        record->started.started = 0;
        emit(record, size, 0);
    }
    forget_loop(loop, tid);
    return 0;
}

/* The part of the slot that the runtime fills before it fires slow_dispatch. */
struct lw_slot_impact {
    __u64 seq, tasks, max_ns, total_ns;
};

static __noinline int slow_dispatch(struct pt_regs *ctx)
{
    const __u64 id = bpf_get_current_pid_tgid();
    const __u64 now = bpf_ktime_get_ns(), start = ARG4(ctx);
    const __u32 tid = id;
    if (!is_target(id >> 32)) return 0;
    count_run(LW_RUN_slow_probe);
    const __u64 end = clamp_to_now(ARG5(ctx), now);

    const bool slow = end > start && is_slow(id >> 32, end - start);
    struct lw_loop *loop = bpf_map_lookup_elem(&loops, &tid);
    if (!loop) {
        if (slow) lose(LW_LOSS_dispatch_stateless);
        return 0;
    }
    if (loop->off != LW_OFF_NOT) came_back_unseen(loop, tid, now);
    struct lw_slot_impact impact;
    if (bpf_probe_read_user(&impact, sizeof(impact),
                            (void *)(loop->slot + offsetof(struct lw_loop_slot, impact_seq)))) {
        lose(LW_LOSS_slot_unreadable);
        return 0;
    }
    const bool ours = loop->seq == impact.seq;
    if (slow) loop->slow_end_ns = end;
    if (!slow && !(ours && loop->long_blocks)) return 0;

    struct lw_slot_head head;
    struct lw_dispatch *record = close_dispatch(loop, tid, impact.seq, start, end, now);
    if (!record) return 0;
    record->task_id = ARG2(ctx);
    record->resume = ARG3(ctx);
    record->slow = slow;
    record->impact_tasks = impact.tasks;
    record->impact_max_ns = impact.max_ns;
    record->impact_total_ns = impact.total_ns;
    if (record->task_id && read_slot(&head, loop)) read_task(&record->task, head.task);
    emit(record, sizeof(*record), 0);
    return 0;
}

/* Of many dispatches: where one of them was slow, that has been told. */
static __noinline int slow_iteration(struct pt_regs *ctx)
{
    struct lw_loop *loop = current_loop();
    count_run(LW_RUN_slow_probe);
    if (!loop || !loop->slot) return 0;
    const __u64 end = clamp_to_now(ARG4(ctx), bpf_ktime_get_ns());
    if (ARG3(ctx) < end) tell_iteration(loop, bpf_get_current_pid_tgid(), ARG3(ctx), end, ARG2(ctx));
    return 0;
}

static __always_inline void tell_call(struct pt_regs *ctx, struct lw_loop *loop, struct lw_buffer *buffer, __u64 start,
                                      __u64 end, __u64 now)
{
    struct lw_call_detail detail;
    struct lw_slot_head head;
    if (!read_slot(&head, loop)) return;
    struct lw_call *call = &buffer->call;
    __builtin_memset(call, 0, sizeof(*call));
    begin_event(&call->event, LW_EVENT_CALL, 0, loop, bpf_get_current_pid_tgid(), now);
    call->event.seq = head.seq & 1 ? head.seq : 0;
    call->start_ns = start;
    call->end_ns = end;
    call->fd = -1;
    if (bpf_probe_read_user_str(call->call, sizeof(call->call), (void *)ARG1(ctx)) < 0) call->call[0] = 0;
    if (bpf_probe_read_user(&detail, sizeof(detail), (void *)ARG4(ctx))) {
        lose(LW_LOSS_detail_unreadable);
    } else {
        call->fd = detail.fd;
        call->caller = detail.caller;
        call->arg = detail.arg;
        __builtin_memcpy(call->text, detail.text, sizeof(call->text));
        call->text[sizeof(call->text) - 1] = 0;
    }
    read_task(&call->task, head.task);
    read_registers(&call->stack.registers, ctx);
    read_stack(&call->stack, (void *)(buffer->raw + sizeof(*call)), head.stack_top);
    /* The dispatch must be closed for the collector even if it stays below the threshold. */
    if (loop->seq == call->event.seq) loop->long_blocks++;
    emit_loop_stack(buffer, &call->event, &call->stack, sizeof(*call), true, now);
}

static __noinline int blocking_call(struct pt_regs *ctx)
{
    struct lw_loop *loop = current_loop();
    const __u64 now = bpf_ktime_get_ns(), start = ARG2(ctx), end = clamp_to_now(ARG3(ctx), now);
    if (!loop || end < start || !is_long_block(loop->pid, end - start)) return 0;
    count_run(LW_RUN_slow_probe);
    const __u32 pid = loop->pid, stack = take_stack(pid);
    struct lw_buffer *buffer = stack ? stack_at(stack) : NULL;
    if (!buffer) return 0;
    tell_call(ctx, loop, buffer, start, end, now);
    give_back_stack(pid, stack);
    return 0;
}

/* The room of a throw is of that object only if nothing has taken it since, and an exception that was never thrown may
 * stand where another stood: then it is of another type, or nobody can tell. */
static __always_inline void send_thrown(struct pt_regs *ctx, __u64 pid_tid, __u64 now)
{
    const struct lw_thrown_key key = {.object = ARG5(ctx), .pid = pid_tid >> 32};
    const __u32 *index = bpf_map_lookup_elem(&thrown_objects, &key);
    struct lw_thrown_room *room = index ? bpf_map_lookup_elem(&thrown, index) : NULL;
    if (!room || room->thrown.object != key.object || room->thrown.event.pid != key.pid) return;
    struct {
        __u64 vtable, name;
    } type;
    if (bpf_probe_read_user(&type, sizeof(type), (void *)room->thrown.type)) return;
    /* std::type_info::name() leaves out a leading '*'. */
    if (type.name != ARG2(ctx) && type.name + 1 != ARG2(ctx)) return;
    room->thrown.event.time_ns = now;
    room->thrown.event.tid = pid_tid;
    emit_with_stack(room, &room->thrown.event, &room->thrown.stack, sizeof(room->thrown), true, now);
}

/* Address of the struct lw_backtrace that a misuse brings; 0: none. The barrier keeps two loads of ctx from becoming
 * one at an offset that the verifier does not know. */
static __always_inline __u64 calls_of(struct pt_regs *ctx, __u64 probe)
{
    __u64 of_coroutine = ARG3(ctx);
    barrier_var(of_coroutine);
    if (probe == PROBE_resource_leak) return ARG5(ctx);
    return probe == PROBE_coroutine_never_awaited ? of_coroutine : 0;
}

/* Rare: more than LW_MISUSES at once would write into each other's record. */
static __noinline int misuse(struct pt_regs *ctx, __u64 probe)
{
    const __u64 id = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
    if (!is_target(id >> 32)) return 0;
    count_run(LW_RUN_slow_probe);
    const __u32 index = __sync_fetch_and_add(&misuses_told, 1) % LW_MISUSES;
    struct lw_misuse_room *record = bpf_map_lookup_elem(&misuses, &index);
    if (!record) return 0;
    if (probe == PROBE_exception_unretrieved && ARG5(ctx)) send_thrown(ctx, id, now);
    __builtin_memset(record, 0, sizeof(*record));
    fill_step(&record->step, ctx, probe, now);
    record->step.size = sizeof(record->step);
    read_misuse(&record->step.misuse, record->step.args, probe, id);
    const __u64 calls = calls_of(ctx, probe);
    if (calls && bpf_probe_read_user(&record->step.misuse.call_count, sizeof(struct lw_backtrace), (void *)calls))
        record->step.misuse.call_count = 0;
    record->event.kind = LW_EVENT_STEPS;
    record->event.size = sizeof(*record);
    record->event.time_ns = now;
    record->event.pid = id >> 32;
    record->event.tid = id;
    emit(record, sizeof(*record), 0);
    return 0;
}

/* One program for all probes but the trace probes, told apart by the attach cookie: one link a module, so that
 * detaching waits for one grace period. */
SEC("uprobe")
int on_probe(struct pt_regs *ctx)
{
    const __u64 probe = bpf_get_attach_cookie(ctx);
    const struct lw_loop *loop = current_loop();
    if (loop) send_batch_of(loop);
    switch (probe) {
        case PROBE_loop_start: return loop_start(ctx);
        case PROBE_loop_stop: return loop_stop(ctx);
        case PROBE_slow_dispatch: return slow_dispatch(ctx);
        case PROBE_slow_iteration: return slow_iteration(ctx);
        case PROBE_blocking_call: return blocking_call(ctx);
        default: return misuse(ctx, probe);
    }
}
