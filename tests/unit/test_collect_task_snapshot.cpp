// SPDX-License-Identifier: Apache-2.0
//
// A task read from outside; this very process is read.
#include <loopwatch/loop_state.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "collect/task_snapshot.hpp"

using namespace loopwatch;

namespace {

TaskSnapshot view(const lw_task& task)
{
    return view_task(reinterpret_cast<std::uint64_t>(&task), Memory(::getpid()));
}

}  // namespace

TEST_CASE("a task has its name, labels and frames, the innermost first")
{
    lw_frame outer = {}, inner = {};
    outer.created_at = reinterpret_cast<const lw_location*>(0x1000);
    inner.created_at = reinterpret_cast<const lw_location*>(0x2000);
    inner.suspended_at = reinterpret_cast<const lw_location*>(0x3000);
    inner.awaiter = &outer;
    lw_task task = {};
    task.id = 17;
    task.parent_id = 16;
    task.name = "save";
    task.labels = "request=4711\n";
    task.created_at = reinterpret_cast<const lw_location*>(0x4000);
    task.leaf = &inner;
    task.state = LW_TASK_SUSPENDED;
    const auto seen = view(task);
    CHECK(seen.id == 17);
    CHECK(seen.parent_id == 16);
    CHECK(seen.name.view() == "save");
    CHECK(seen.labels.view() == "request=4711\n");
    CHECK(seen.created_at == 0x4000);
    CHECK(seen.state == TaskState::suspended);
    REQUIRE(seen.frames.size() == 2);
    CHECK(seen.frames[0].created_at == 0x2000);
    CHECK(seen.frames[0].suspended_at == 0x3000);
    CHECK(seen.frames[1].created_at == 0x1000);
}

TEST_CASE("what cannot be read, or has no end, ends the view")
{
    CHECK(view_task(8, Memory(::getpid())).id == 0);
    lw_frame circle = {};
    circle.awaiter = &circle;
    lw_task task = {};
    task.id = 1;
    task.leaf = &circle;
    const std::string long_name(500, 'n');
    task.name = long_name.c_str();
    task.labels = reinterpret_cast<const char*>(8);
    const auto seen = view(task);
    CHECK(seen.frames.size() == TaskSnapshot::max_frames);
    CHECK(seen.name.view() == long_name.substr(0, sizeof seen.name - 1));
    CHECK(seen.labels.empty());
    lw_frame torn = {};
    torn.awaiter = reinterpret_cast<const lw_frame*>(8);
    task.leaf = &torn;
    CHECK(view(task).frames.size() == 1);
}
