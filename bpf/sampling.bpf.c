// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Where an overdue dispatch burns the CPU. The collector opens a cpu-clock event on the thread when it finds its
// dispatch old, and closes it when the dispatch ends: even a disabled event would tax every context switch of the
// thread (2,535 → 2,913 ns for a ping-pong).
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lw_target.bpf.h"

SEC("perf_event")
int on_cpu_sample(struct bpf_perf_event_data *ctx)
{
    const __u32 tid = bpf_get_current_pid_tgid();
    struct lw_loop *loop = bpf_map_lookup_elem(&loops, &tid);
    struct lw_slot_head head;
    if (!loop || !read_slot(&head, loop) || !(head.seq & 1)) return 0;
    count_run(LW_RUN_sample);

    /* The user's registers, also when the sample hit the kernel (a long write, a page fault). */
    const struct pt_regs *regs = registers_of(bpf_get_current_task_btf());
    const __u32 pid = loop->pid, stack = take_stack(pid);
    struct lw_buffer *buffer = stack ? stack_at(stack) : NULL;
    if (!buffer) return 0;
    struct lw_sample *sample = &buffer->sample;
    __builtin_memset(sample, 0, sizeof(*sample));
    const __u64 now = bpf_ktime_get_ns();
    begin_event(&sample->event, LW_EVENT_SAMPLE, 0, loop, tid, now);
    sample->event.seq = head.seq;
    sample->stands_for_ns = ctx->sample_period;
    read_task(&sample->task, head.task);
    read_registers(&sample->stack.registers, regs);
    read_stack(&sample->stack, (void *)(buffer->raw + sizeof(*sample)), head.stack_top);
    emit_loop_stack(buffer, &sample->event, &sample->stack, sizeof(*sample), true, now);
    give_back_stack(pid, stack);
    return 0;
}
