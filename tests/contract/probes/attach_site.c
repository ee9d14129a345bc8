// SPDX-License-Identifier: Apache-2.0
//
// attach_site [--empty] PID FILE OFFSET:SEMAPHORE [OFFSET:SEMAPHORE …]   (file offsets; semaphore 0: none)
//
// The smallest real tracer: one BPF program on all sites by one uprobe_multi link. Prints "attached"; at SIGTERM, one
// line a site: hits, then rdi rsi rdx rcx r8 of the last hit. --empty: the program does nothing, a hit costs the
// kernel's share only (scripts/bench). Exit status 77 if the kernel has no uprobe_multi.
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SITES_MAX = 64,
    ARGUMENTS = 5,
    UPROBE_MULTI = 48 /* BPF_TRACE_UPROBE_MULTI, younger than Debian 12's headers */
};

struct hit {
    uint64_t count;
    uint64_t argument[ARGUMENTS];
};

// BPF_LINK_CREATE's attributes for uprobe_multi, younger than Debian 12's union bpf_attr.
struct link_create {
    uint32_t prog_fd, target_fd, attach_type, flags;
    uint64_t path, offsets, semaphore_offsets, cookies;
    uint32_t count, multi_flags, pid, padding;
};

static int give_up(const char* what)
{
    fprintf(stderr, "attach_site: %s: %s\n", what, strerror(errno));
    return 1;
}

#define INSN(c, d, s, o, i) ((struct bpf_insn){.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i)})
#define COPY(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define CALL(helper) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper)
// hit->argument[n] = the register at that offset of struct pt_regs
#define KEEP(n, pt_regs_offset)                                                \
    INSN(BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_6, pt_regs_offset, 0), \
        INSN(BPF_STX | BPF_MEM | BPF_DW, BPF_REG_0, BPF_REG_1, offsetof(struct hit, argument) + 8 * (n), 0)

static int load(const struct bpf_insn* code, size_t count)
{
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = (enum bpf_attach_type)UPROBE_MULTI);
    return bpf_prog_load(BPF_PROG_TYPE_KPROBE, "attach_site", "Dual BSD/GPL", code, count, &options);
}

static int load_empty_program(void)
{
    const struct bpf_insn code[] = {
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    return load(code, sizeof code / sizeof *code);
}

// hits[cookie].count++, and its arguments
static int load_program(int hits)
{
    const struct bpf_insn code[] = {
        COPY(BPF_REG_6, BPF_REG_1),
        CALL(BPF_FUNC_get_attach_cookie),
        INSN(BPF_STX | BPF_MEM | BPF_W, BPF_REG_10, BPF_REG_0, -4, 0),
        INSN(BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, hits),
        INSN(0, 0, 0, 0, 0),
        COPY(BPF_REG_2, BPF_REG_10),
        INSN(BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_2, 0, 0, -4),
        CALL(BPF_FUNC_map_lookup_elem),
        INSN(BPF_JMP | BPF_JEQ | BPF_K, BPF_REG_0, 0, 12, 0),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_1, 0, 0, 1),
        INSN(BPF_STX | BPF_ATOMIC | BPF_DW, BPF_REG_0, BPF_REG_1, offsetof(struct hit, count), BPF_ADD),
        KEEP(0, 112),
        KEEP(1, 104),
        KEEP(2, 96),
        KEEP(3, 88),
        KEEP(4, 72),
        INSN(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0),
        INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
    };
    return load(code, sizeof code / sizeof *code);
}

static int attach(int program, int pid, const char* path, char** sites, int count)
{
    uint64_t offsets[SITES_MAX] = {0}, semaphores[SITES_MAX] = {0}, cookies[SITES_MAX] = {0};
    for (int i = 0; i < count; i++) {
        char* end = NULL;
        offsets[i] = strtoull(sites[i], &end, 0);
        semaphores[i] = *end == ':' ? strtoull(end + 1, NULL, 0) : 0;
        cookies[i] = (uint64_t)i;
    }
    const struct link_create attributes = {
        .prog_fd = (uint32_t)program,
        .attach_type = UPROBE_MULTI,
        .path = (uintptr_t)path,
        .offsets = (uintptr_t)offsets,
        .semaphore_offsets = (uintptr_t)semaphores,
        .cookies = (uintptr_t)cookies,
        .count = (uint32_t)count,
        .pid = (uint32_t)pid,
    };
    return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof attributes);
}

int main(int argc, char** argv)
{
    const int empty = argc > 1 && strcmp(argv[1], "--empty") == 0;
    argc -= empty;
    argv += empty;
    const int count = argc - 3;
    if (count < 1 || count > SITES_MAX)
        return fprintf(stderr, "usage: attach_site [--empty] PID FILE OFFSET:SEMAPHORE…\n"), 2;
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);

    const int hits = bpf_map_create(BPF_MAP_TYPE_ARRAY, "hits", sizeof(uint32_t), sizeof(struct hit), SITES_MAX, NULL);
    if (hits < 0) return give_up("map");
    const int program = empty ? load_empty_program() : load_program(hits);
    if (program < 0) return give_up("program");
    const int link = attach(program, atoi(argv[1]), argv[2], argv + 3, count);
    if (link < 0) return give_up("uprobe_multi link"), errno == EINVAL ? 77 : 1;
    puts("attached");
    fflush(stdout);

    int signal = 0;
    sigwait(&end, &signal);
    close(link);
    for (uint32_t i = 0; i < (uint32_t)count; i++) {
        struct hit hit = {0};
        if (bpf_map_lookup_elem(hits, &i, &hit)) return give_up("map look-up");
        printf("%llu", (unsigned long long)hit.count);
        for (int n = 0; n < ARGUMENTS; n++) printf(" %llu", (unsigned long long)hit.argument[n]);
        putchar('\n');
    }
    return 0;
}
