// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <vector>

#include "analysis/task_tree.hpp"

using namespace loopwatch;
using Indexes = std::vector<std::size_t>;

TEST_CASE("roots are those whom nobody awaits")
{
    const std::vector<TaskLink> tasks = {{1, 0}, {2, 1}, {3, 2}, {4, 0}};
    const auto tree = task_tree(tasks);
    CHECK(tree.roots == Indexes{2, 3});
    CHECK(tree.awaits == Indexes{TaskTree::none, 0, 1, TaskTree::none});
    CHECK(tree.cycles.empty());
}

TEST_CASE("a cycle is named once, whoever leads into it")
{
    const std::vector<TaskLink> tasks = {{1, 2}, {2, 3}, {3, 1}, {4, 2}, {5, 5}};
    const auto tree = task_tree(tasks);
    CHECK(tree.roots == Indexes{3});
    CHECK(tree.cycles == std::vector<Indexes>{{0, 1, 2}, {4}});
}

TEST_CASE("who awaits a task that is gone awaits nobody")
{
    const std::vector<TaskLink> tasks = {{7, 6}};
    CHECK(task_tree(tasks).awaits == Indexes{TaskTree::none});
    CHECK(task_tree(tasks).roots == Indexes{0});
}
