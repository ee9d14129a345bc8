// SPDX-License-Identifier: Apache-2.0
#include "collect/loop_table.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <vector>

#include "loopwatch.skel.h"
#include "util/wall_clock.hpp"

namespace loopwatch {

void LoopTable::count(std::uint32_t pid, std::uint32_t tid, int change)
{
    auto& shared = *skeleton_.bss;
    for (auto* counter : {&shared.crowd[tid % std::size(shared.crowd)],
                          &shared.loops_by_pid[pid % std::size(shared.loops_by_pid)], &shared.loops_entered})
        std::atomic_ref(*counter).fetch_add(static_cast<std::uint32_t>(change));
}

std::optional<std::uint32_t> LoopTable::enter(std::uint32_t tid, lw_loop loop,
                                              const std::function<void(std::uint32_t buffer)>& prepare)
{
    const int loops = bpf_map__fd(skeleton_.maps.loops), free = bpf_map__fd(skeleton_.maps.free_buffers);
    const auto& shared = *skeleton_.bss;
    lw_loop known = {};
    if (bpf_map_lookup_elem(loops, &tid, &known) == 0) return std::nullopt;
    const bool fits =
        lw_loop_fits(bpf_map__max_entries(skeleton_.maps.loops), shared.reserved_loops, shared.loops_entered,
                     shared.loops_by_pid[loop.pid % std::size(shared.loops_by_pid)]);
    if (!fits || bpf_map_lookup_and_delete_elem(free, nullptr, &loop.buffer) != 0) {
        count_loss(LW_LOSS_loops_untracked);
        return std::nullopt;
    }
    if (prepare) prepare(loop.buffer);
    loop.entered_ns = monotonic_ns();
    if (loop.off != LW_OFF_NOT) loop.off_ns = loop.entered_ns;
    // Counted before it is there: a zero in the crowd must never hide a loop.
    count(loop.pid, tid, 1);
    if (bpf_map_update_elem(loops, &tid, &loop, BPF_NOEXIST) == 0) return loop.buffer;
    count(loop.pid, tid, -1);
    bpf_map_update_elem(free, nullptr, &loop.buffer, BPF_ANY);
    return std::nullopt;
}

void LoopTable::drop(std::uint32_t pid, std::uint32_t tid)
{
    std::uint64_t arguments[] = {pid, tid};
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.ctx_in = arguments;
    options.ctx_size_in = sizeof arguments;
    (void)bpf_prog_test_run_opts(bpf_program__fd(skeleton_.progs.on_dismiss), &options);
}

// Of the loops, some are kept for those processes that have few.
void LoopTable::share_among(std::size_t processes)
{
    const auto most = bpf_map__max_entries(skeleton_.maps.loops);
    const auto others = static_cast<std::uint32_t>(std::min<std::size_t>(processes, most)) - (processes != 0);
    skeleton_.bss->reserved_loops = std::min(others * LW_ASSURED_LOOPS, most / 4);
}

void LoopTable::count_loss(std::uint32_t loss)
{
    const int losses = bpf_map__fd(skeleton_.maps.losses);
    std::vector<std::uint64_t> counts(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    if (bpf_map_lookup_elem(losses, &loss, counts.data()) != 0) return;
    ++counts[0];
    bpf_map_update_elem(losses, &loss, counts.data(), BPF_ANY);
}

}  // namespace loopwatch
