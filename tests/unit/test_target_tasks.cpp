// SPDX-License-Identifier: Apache-2.0
//
// The list of a loop's tasks as a hostile or busy process shows it; this very process is read.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <deque>
#include <string>

#include "target/memory.hpp"
#include "target/tasks.hpp"

using namespace loopwatch;

namespace {

// Linked as the runtime links them: the youngest first.
struct Published {
    lw_loop_slot slot = {};
    std::deque<lw_task> tasks;
    std::deque<lw_frame> frames;

    lw_task& add(const char* name)
    {
        auto& task = tasks.emplace_back();
        task.id = tasks.size();
        task.name = name;
        task.state = LW_TASK_SUSPENDED;
        task.next = slot.tasks;
        if (slot.tasks != nullptr) slot.tasks->prev = &task;
        slot.tasks = &task;
        return task;
    }
    TaskList read() const
    {
        const Memory memory(::getpid());
        return TaskReader(memory).list(reinterpret_cast<std::uint64_t>(&slot));
    }
};

}  // namespace

TEST_CASE("tasks are listed with their coroutines, the youngest first")
{
    Published loop;
    const lw_location place = {"save.cpp", "save()", 7, 1};
    auto& outer = loop.frames.emplace_back();
    outer.created_at = outer.suspended_at = &place;
    auto& inner = loop.frames.emplace_back();
    inner.awaiter = &outer;
    loop.add("first").leaf = &inner;
    auto& second = loop.add("second");
    second.awaited_task = 1;
    second.cancel_requests = 1;
    second.cancel_reason = "shutdown";
    const auto list = loop.read();
    REQUIRE(list.broken.empty());
    REQUIRE(list.tasks.size() == 2);
    CHECK(list.tasks[0].name == "second");
    CHECK(list.tasks[0].awaits == 1);
    CHECK(list.tasks[0].cancel_reason == "shutdown");
    REQUIRE(list.tasks[1].frames.size() == 2);
    CHECK(list.tasks[1].frames[0].suspended_at == 0);
    CHECK(list.tasks[1].frames[1].suspended_at == reinterpret_cast<std::uint64_t>(&place));
}

TEST_CASE("a loop without tasks has none, and one that is not there neither")
{
    CHECK(Published().read().tasks.empty());
    const Memory memory(::getpid());
    CHECK(TaskReader(memory).list(8).tasks.empty());
}

TEST_CASE("a list that goes round is read once")
{
    Published loop;
    for (int i = 0; i < 5; ++i) loop.add("task");
    auto& oldest = loop.tasks.front();
    oldest.next = loop.slot.tasks;
    loop.slot.tasks->prev = &oldest;  // each link is confirmed by its other end
    const auto list = loop.read();
    CHECK(list.tasks.size() == 5);
    CHECK_FALSE(list.broken.empty());
}

TEST_CASE("wild pointers end the list, with what was read until then")
{
    Published loop;
    for (int i = 0; i < 5; ++i) loop.add("task");
    loop.tasks[2].next = reinterpret_cast<lw_task*>(0x1000);
    auto list = loop.read();
    CHECK(list.tasks.size() == 3);
    CHECK_FALSE(list.broken.empty());
    loop.tasks[2].next = &loop.tasks[1];
    loop.tasks[1].prev = &loop.tasks[4];  // not who led to it
    list = loop.read();
    CHECK(list.tasks.size() == 3);
    CHECK_FALSE(list.broken.empty());
}

TEST_CASE("names and chains may be anything")
{
    Published loop;
    auto& task = loop.add(reinterpret_cast<const char*>(0x10));
    auto& frame = loop.frames.emplace_back();
    frame.awaiter = &frame;
    task.leaf = &frame;
    const std::string endless(100'000, 'x');
    loop.add(endless.c_str());
    const auto list = loop.read();
    REQUIRE(list.tasks.size() == 2);
    CHECK(list.tasks[0].name.size() == 128);
    CHECK(list.tasks[1].name.empty());
    CHECK(list.tasks[1].frames.size() == TaskReader::max_frames);
}
