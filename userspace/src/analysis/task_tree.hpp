// SPDX-License-Identifier: Apache-2.0
//
// Who awaits whom among live tasks. A task waits for one other at most, but one read at another moment than the next
// may seem to be waited for by several, or to wait for itself by a detour: what cannot be a tree is named, not
// followed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace loopwatch {

// A task and whom it awaits; 0: nobody.
struct TaskLink {
    std::uint64_t id = 0, awaits = 0;
};

struct TaskTree {
    static constexpr std::size_t none = static_cast<std::size_t>(-1);

    std::vector<std::size_t> roots;                // whom nobody awaits, in the order given
    std::vector<std::size_t> awaits;               // by task: whom it awaits; none
    std::vector<std::vector<std::size_t>> cycles;  // each awaits the next one, the last the first
};

TaskTree task_tree(std::span<const TaskLink> tasks);

}  // namespace loopwatch
