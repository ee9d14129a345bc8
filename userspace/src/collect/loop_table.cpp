// SPDX-License-Identifier: Apache-2.0
#include "collect/loop_table.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <atomic>
#include <vector>

#include "loopwatch.skel.h"
#include "util/wall_clock.hpp"

namespace loopwatch {

std::optional<std::uint32_t> LoopTable::enter(std::uint32_t tid, lw_loop loop,
                                              const std::function<void(std::uint32_t buffer)>& prepare)
{
    const int loops = bpf_map__fd(skeleton_.maps.loops), free = bpf_map__fd(skeleton_.maps.free_buffers);
    lw_loop known = {};
    if (bpf_map_lookup_elem(loops, &tid, &known) == 0) return std::nullopt;
    if (bpf_map_lookup_and_delete_elem(free, nullptr, &loop.buffer) != 0) {
        count_loss(LW_LOSS_loops_untracked);
        return std::nullopt;
    }
    if (prepare) prepare(loop.buffer);
    loop.entered_ns = monotonic_ns();
    if (loop.off != LW_OFF_NOT) loop.off_ns = loop.entered_ns;
    // Counted before it is there: a zero must never hide a loop.
    auto& crowd = skeleton_.bss->crowd;
    const std::atomic_ref count(crowd[tid % std::size(crowd)]);
    count.fetch_add(1);
    if (bpf_map_update_elem(loops, &tid, &loop, BPF_NOEXIST) == 0) return loop.buffer;
    count.fetch_sub(1);
    bpf_map_update_elem(free, nullptr, &loop.buffer, BPF_ANY);
    return std::nullopt;
}

void LoopTable::withdraw(std::uint32_t tid, std::uint32_t buffer)
{
    if (bpf_map_delete_elem(bpf_map__fd(skeleton_.maps.loops), &tid) != 0) return;
    auto& crowd = skeleton_.bss->crowd;
    std::atomic_ref(crowd[tid % std::size(crowd)]).fetch_sub(1);
    bpf_map_update_elem(bpf_map__fd(skeleton_.maps.free_buffers), nullptr, &buffer, BPF_ANY);
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
