// SPDX-License-Identifier: Apache-2.0
#include "session/task_view.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include <loopwatch/loop_state.h>

namespace loopwatch {

lw_task_view view_task(std::uint64_t address, const Memory& memory)
{
    lw_task_view view = {};
    const auto task = memory.object<lw_task>(address);
    if (!task) return view;
    view.id = task->id;
    view.parent_id = task->parent_id;
    view.created_at = std::bit_cast<std::uint64_t>(task->created_at);
    view.cancelled_by = task->cancelled_by;
    view.state = task->state;
    const auto name = memory.text(std::bit_cast<std::uint64_t>(task->name), sizeof view.name - 1);
    std::memcpy(view.name, name.data(), std::min(name.size(), sizeof view.name - 1));
    auto next = std::bit_cast<std::uint64_t>(task->leaf);
    for (int i = 0; i < LW_CHAIN && next; ++i) {
        const auto frame = memory.object<lw_frame>(next);
        if (!frame) break;
        view.chain_created[i] = std::bit_cast<std::uint64_t>(frame->created_at);
        view.chain_suspended[i] = std::bit_cast<std::uint64_t>(frame->suspended_at);
        view.chain_length = static_cast<std::uint32_t>(i + 1);
        next = std::bit_cast<std::uint64_t>(frame->awaiter);
    }
    return view;
}

}  // namespace loopwatch
