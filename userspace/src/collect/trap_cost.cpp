// SPDX-License-Identifier: Apache-2.0
#include "collect/trap_cost.hpp"

#include <fcntl.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <optional>

#include "util/fd.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

namespace {

constexpr int rounds = 5, hits_a_round = 64;

// The least that a function can be; which instruction it begins with is what matters.
[[gnu::naked, gnu::noinline, gnu::used]] void begins_with_push()
{
    asm("push %rbp\n\tpop %rbp\n\tret");
}

[[gnu::naked, gnu::noinline, gnu::used]] void begins_with_move()
{
    asm("mov %rdi, %rax\n\tret");
}

std::optional<std::uint64_t> offset_in_file(void (*function)())
{
    struct Search {
        std::uint64_t address;
        std::optional<std::uint64_t> offset;
    } search{std::bit_cast<std::uint64_t>(function), {}};
    // The program itself comes first.
    const auto look = [](dl_phdr_info* module, std::size_t, void* context) {
        auto& wanted = *static_cast<Search*>(context);
        for (int i = 0; i < module->dlpi_phnum; ++i) {
            const auto& header = module->dlpi_phdr[i];
            const auto start = module->dlpi_addr + header.p_vaddr;
            if (header.p_type == PT_LOAD && wanted.address >= start && wanted.address < start + header.p_filesz)
                wanted.offset = wanted.address - start + header.p_offset;
        }
        return 1;
    };
    ::dl_iterate_phdr(look, &search);
    return search.offset;
}

// The fastest round: others are disturbed.
std::uint64_t time_of(void (*function)())
{
    std::uint64_t least = ~0ull;
    for (int round = 0; round < rounds; ++round) {
        const auto start = monotonic_ns();
        for (int hit = 0; hit < hits_a_round; ++hit) function();
        least = std::min(least, (monotonic_ns() - start) / hits_a_round);
    }
    return least;
}

}  // namespace

TrapCost measure_traps(const bpf_program* program, AttachRung rung)
{
    TrapCost cost;
    const Fd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    const auto push = offset_in_file(begins_with_push), move = offset_in_file(begins_with_move);
    if (!self || !push || !move) return cost;
    auto links = attach(program, rung, ::getpid(), self.raw(), {{*push, 0, 0}, {*move, 0, 0}});
    if (!links || links->empty()) return cost;
    cost = {time_of(begins_with_push), time_of(begins_with_move)};
    detach(std::move(*links));
    return cost;
}

// What arch/x86/kernel/uprobes.c emulates: push of a register, nop, calls and jumps. All else counts as stepped,
// endbr64 too: rather too dear a price than too low.
bool is_stepped(const std::uint8_t (&code)[4])
{
    const std::uint8_t first = code[0] == 0x41 ? code[1] : code[0];
    const bool push = first >= 0x50 && first <= 0x57;
    const bool nop = code[0] == 0x90 || (code[0] == 0x0f && code[1] == 0x1f);
    const bool jump = code[0] == 0xe8 || code[0] == 0xe9 || code[0] == 0xeb;
    return !push && !nop && !jump;
}

}  // namespace loopwatch
