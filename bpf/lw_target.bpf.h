/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * Reads what the target publishes (loop_state.h) and its stack. All of it may be wild, torn or not resident: bounded
 * steps, every failure counted, nothing trusted. bpf_probe_read_user never faults a page in. */
#ifndef LW_TARGET_BPF_H
#define LW_TARGET_BPF_H

#include <loopwatch/loop_state.h>

#include "lw_emit.bpf.h"

/* Cache line 0 of struct lw_loop_slot: all that a context switch needs, in one read. */
struct lw_slot_head {
    __u64 seq, task, start, resume, stack_top, loop_id;
    __u32 queued, tid;
    __u64 busy_ticks;
};

static __always_inline struct lw_unprobed *unprobed_of(const struct lw_loop *loop)
{
    const __u32 key = loop->buffer; /* 6.1 takes no key out of the argument of a global function */
    return bpf_map_lookup_elem(&unprobed, &key);
}

static __always_inline bool read_slot(struct lw_slot_head *head, const struct lw_loop *loop)
{
    if (!loop->slot) {
        struct lw_unprobed *own = unprobed_of(loop);
        if (own) __builtin_memcpy(head, &own->slot, sizeof(*head));
        return own;
    }
    if (!bpf_probe_read_user(head, sizeof(*head), (void *)loop->slot)) return true;
    lose(LW_LOSS_slot_unreadable);
    return false;
}

/* The task of a dispatch with its await chain. A plain callback has none: id 0. */
__weak __noinline int read_task(struct lw_task_view *view, __u64 address)
{
    struct lw_task task;
    struct lw_frame frame;

    if (!view) return 0;
    __builtin_memset(view, 0, sizeof(*view));
    if (!address) return 0;
    if (bpf_probe_read_user(&task, sizeof(task), (void *)address)) {
        lose(LW_LOSS_task_unreadable);
        return 0;
    }
    view->id = task.id;
    view->parent_id = task.parent_id;
    view->created_at = task.created_at;
    view->cancelled_by = task.cancelled_by;
    view->state = task.state;
    if (bpf_probe_read_user_str(view->name, sizeof(view->name), (void *)task.name) < 0) view->name[0] = 0;
    if (task.labels && bpf_probe_read_user_str(view->labels, sizeof(view->labels), (void *)task.labels) < 0)
        view->labels[0] = 0;

    __u64 next = task.leaf;
    for (int i = 0; i < LW_CHAIN && next; i++) {
        if (bpf_probe_read_user(&frame, sizeof(frame), (void *)next)) {
            lose(LW_LOSS_task_unreadable);
            break;
        }
        view->chain_created[i] = frame.created_at;
        view->chain_suspended[i] = frame.suspended_at;
        view->chain_length = i + 1;
        next = frame.awaiter;
    }
    return 0;
}

/* The user's registers of a thread in the kernel, read where they are: a copy of them all took 30 ns of each sleep. */
static __always_inline const struct pt_regs *registers_of(struct task_struct *task)
{
    return (const void *)bpf_task_pt_regs(task);
}

static __always_inline void read_registers(struct lw_registers *to, const struct pt_regs *from)
{
    to->dwarf[0] = from->ax;
    to->dwarf[1] = from->dx;
    to->dwarf[2] = from->cx;
    to->dwarf[3] = from->bx;
    to->dwarf[4] = from->si;
    to->dwarf[5] = from->di;
    to->dwarf[6] = from->bp;
    to->dwarf[7] = from->sp;
    to->dwarf[8] = from->r8;
    to->dwarf[9] = from->r9;
    to->dwarf[10] = from->r10;
    to->dwarf[11] = from->r11;
    to->dwarf[12] = from->r12;
    to->dwarf[13] = from->r13;
    to->dwarf[14] = from->r14;
    to->dwarf[15] = from->r15;
    to->dwarf[16] = from->ip;
}

/* Room for a stack, and for the slack of a copy whose last step may begin anywhere below LW_STACK_BYTES. */
struct lw_stack_room {
    __u8 bytes[LW_STACK_BYTES + 4096];
};

/* Copies the stack from below SP to just above the loop function's frame, page by page: a page that is not resident
 * ends the copy, not the whole of it (8 KiB cost about 0.45 us). Not static, so that it is verified once. */
__weak __noinline int read_stack(struct lw_stack *stack, struct lw_stack_room *to, __u64 stack_top)
{
    if (!stack || !to) return 0;
    const __u64 sp = stack->registers.dwarf[LW_REG_RSP];
    __u64 base = sp - LW_RED_ZONE;
    __u8 lowest;
    /* The red zone may reach into a page that was never touched: 1 of 32 stacks that are as deep as never before. */
    if (((base ^ sp) & ~4095ull) && bpf_probe_read_user(&lowest, 1, (void *)base)) base = sp;
    __u64 want = stack_top + LW_ABOVE_LOOP - base;
    if (stack_top < base || want > LW_STACK_BYTES) want = LW_STACK_BYTES;
    __u64 done = 0;

    stack->base = base;
    for (int i = 0; i <= LW_STACK_BYTES / 4096; i++) {
        if (done >= want) break;
        __u64 step = 4096 - ((base + done) & 4095);
        if (step > want - done) step = want - done;
        barrier_var(step); /* clang would drop the mask, which it knows to be needless and 6.1 does not */
        step &= 8191;
        if (step > 4096) break;
        if (bpf_probe_read_user(to->bytes + (done & (LW_STACK_BYTES - 1)), step, (void *)(base + done))) break;
        done += step;
    }
    if (done > LW_STACK_BYTES) done = LW_STACK_BYTES;
    stack->bytes = done;
    stack->truncated = stack_top ? base + done < stack_top : done == LW_STACK_BYTES;
    return 0;
}

/* Is this word an address behind a call? E8 with a displacement, or FF /2 in any of its lengths (Intel SDM, CALL). Not
 * static, so that its branches are verified once. */
__weak __noinline int returns_to(__u64 word)
{
    __u64 code;
    if (word < 65536 || word >> 47 || bpf_probe_read_user(&code, sizeof(code), (void *)(word - 8))) return 0;
#define CODE_BYTE(before) ((__u8)(code >> 8 * (8 - (before))))
#define IS_FF_2(length) (CODE_BYTE(length) == 0xff && (CODE_BYTE((length)-1) & 0x38) == 0x10)
    return CODE_BYTE(5) == 0xe8 || IS_FF_2(2) || IS_FF_2(3) || IS_FF_2(4) || IS_FF_2(6) || IS_FF_2(7);
#undef IS_FF_2
#undef CODE_BYTE
}

/* Who called, without unwinding: the innermost words of the stack that are return addresses. Some may be left from
 * calls that have ended, or saved registers: they are the same the next time. The count stands in the buffer, where the
 * verifier does not follow it: else it took 33,000 steps. */
#define LW_CALLER_WORDS 64 /* glibc's waits on condition variables take 34 */
__weak __noinline int find_callers(struct lw_buffer *buffer)
{
    if (!buffer) return 0;
    const __u64 sp = buffer->source.stack.registers.dwarf[LW_REG_RSP];
    buffer->callers_found = 0;
    for (__u32 i = 0; i < LW_CALLER_WORDS; i++) {
        __u64 word;
        if (bpf_probe_read_user(&word, sizeof(word), (void *)(sp + i * 8))) break;
        if (!returns_to(word)) continue;
        const __u32 at = buffer->callers_found;
        if (at >= LW_CALLERS) break;
        buffer->callers[at].address = word;
        buffer->callers[at].offset = i * 8;
        buffer->callers_found = at + 1;
        if (at + 1 == LW_CALLERS) break;
    }
    return 0;
}

__weak __noinline int has_callers(const struct lw_buffer *buffer, __u64 sp)
{
    if (!buffer) return 0;
    for (__u32 i = 0; i < LW_CALLERS; i++) {
        const struct lw_caller *caller = &buffer->callers[i];
        __u64 word;
        if (i >= buffer->callers_found) break;
        if (bpf_probe_read_user(&word, sizeof(word), (void *)(sp + caller->offset)) || word != caller->address)
            return 0;
    }
    return 1;
}

static __always_inline struct lw_record *record_of(const struct lw_loop *loop)
{
    const __u32 key = loop->buffer;
    return bpf_map_lookup_elem(&records, &key);
}

static __always_inline struct lw_buffer *stack_at(__u32 stack)
{
    const __u32 key = stack - 1;
    return bpf_map_lookup_elem(&stacks, &key);
}

static __always_inline struct lw_buffer *place_at(const struct lw_loop *loop, __u32 place)
{
    return stack_at(loop->stacks[place & (LW_SOURCES - 1)]);
}

#endif
