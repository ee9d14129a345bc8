// SPDX-License-Identifier: Apache-2.0
#include "analysis/task_tree.hpp"

#include <algorithm>
#include <unordered_map>

namespace loopwatch {

TaskTree task_tree(std::span<const TaskLink> tasks)
{
    TaskTree tree;
    std::unordered_map<std::uint64_t, std::size_t> by_id;
    for (std::size_t i = 0; i < tasks.size(); ++i) by_id.emplace(tasks[i].id, i);
    std::vector<bool> awaited(tasks.size(), false);
    tree.awaits.assign(tasks.size(), TaskTree::none);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        const auto target = tasks[i].awaits == 0 ? by_id.end() : by_id.find(tasks[i].awaits);
        if (target == by_id.end()) continue;
        tree.awaits[i] = target->second;
        awaited[target->second] = true;
    }
    for (std::size_t i = 0; i < tasks.size(); ++i)
        if (!awaited[i]) tree.roots.push_back(i);
    // What no root leads to goes round.
    enum : char { fresh, on_the_way, settled };
    std::vector<char> state(tasks.size(), fresh);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
        std::vector<std::size_t> way;
        auto next = i;
        while (next != TaskTree::none && state[next] == fresh) {
            state[next] = on_the_way;
            way.push_back(next);
            next = tree.awaits[next];
        }
        if (next != TaskTree::none && state[next] == on_the_way)
            tree.cycles.emplace_back(std::ranges::find(way, next), way.end());
        for (const auto passed : way) state[passed] = settled;
    }
    return tree;
}

}  // namespace loopwatch
