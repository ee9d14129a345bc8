// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Where exceptions are thrown, with --debug: libstdc++'s own probe `libstdcxx:throw`, which has the object in rdi and
// its std::type_info in rsi. Once a task's exception turns out to be looked at by nobody, its throw is long over, so
// the stack of each is kept for a while (lw_maps.bpf.h).
#include "vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "lw_target.bpf.h"

SEC("uprobe")
int on_throw(struct pt_regs *ctx)
{
    const __u64 id = bpf_get_current_pid_tgid();
    if (!is_target(id >> 32)) return 0;
    const __u32 tid = id, index = __sync_fetch_and_add(&throws, 1) % LW_THROWN;
    struct lw_thrown_room *room = bpf_map_lookup_elem(&thrown, &index);
    if (!room) return 0;
    count_run(LW_RUN_throw);

    struct lw_slot_head head = {};
    const struct lw_loop *loop = bpf_map_lookup_elem(&loops, &tid);
    if (loop && !read_slot(&head, loop)) head.stack_top = 0;
    __builtin_memset(&room->thrown, 0, sizeof(room->thrown));
    room->thrown.event.kind = LW_EVENT_THROWN;
    room->thrown.event.pid = id >> 32;
    room->thrown.object = ctx->di;
    room->thrown.type = ctx->si;
    read_registers(&room->thrown.stack.registers, ctx);
    read_stack(&room->thrown.stack, (void *)(room->raw + sizeof(room->thrown)), head.stack_top);
    const struct lw_thrown_key key = {.object = ctx->di, .pid = id >> 32};
    bpf_map_update_elem(&thrown_objects, &key, &index, BPF_ANY);
    return 0;
}
