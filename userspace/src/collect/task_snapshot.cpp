// SPDX-License-Identifier: Apache-2.0
#include "collect/task_snapshot.hpp"

#include <loopwatch/loop_state.h>

namespace loopwatch {

TaskSnapshot view_task(std::uint64_t address, const Memory& memory)
{
    TaskSnapshot view;
    const auto task = memory.object<lw_task>(address);
    if (!task) return view;
    view.id = task->id;
    view.parent_id = task->parent_id;
    view.created_at = address_of(task->created_at);
    view.state = task_state(task->state);
    view.name = memory.text(address_of(task->name), sizeof view.name - 1);
    view.labels = memory.text(address_of(task->labels), sizeof view.labels - 1);
    auto next = address_of(task->leaf);
    while (next != 0 && view.frames.size() < TaskSnapshot::max_frames) {
        const auto frame = memory.object<lw_frame>(next);
        if (!frame) break;
        view.frames.push_back({address_of(frame->created_at), address_of(frame->suspended_at)});
        next = address_of(frame->awaiter);
    }
    return view;
}

}  // namespace loopwatch
