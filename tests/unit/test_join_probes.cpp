// SPDX-License-Identifier: Apache-2.0
//
// What a loop that joins in publishes, also when it is used as it should not be. The tests raise the semaphore as the
// kernel does when a session attaches.
#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <loopwatch/join.hpp>

#include "attached.hpp"

using namespace loopwatch;

namespace {

struct RunningLoop : LoopProbes {
    RunningLoop() : LoopProbes("loop") { start(); }
};

void hold_the_loop()
{
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
}

// What outsiders take for the length of the ready queue.
lw_u32 waiting(const LoopProbes& loop)
{
    return loop.slot().queued - static_cast<lw_u32>((loop.slot().seq + 1) / 2);
}

const lw_location here = {"here.cpp", "here", 1, 0}, there = {"there.cpp", "there", 2, 0};

}  // namespace

TEST_CASE("a dispatch is told as odd, and again after one that threw past its end")
{
    RunningLoop loop;
    loop.begin();
    CHECK(loop.slot().seq == 1);
    loop.begin();
    CHECK(loop.slot().seq == 3);
    loop.end();
    CHECK(loop.slot().seq == 4);
    CHECK(waiting(loop) == 0);
    loop.end();
    CHECK(loop.slot().seq % 2 == 0);
}

TEST_CASE("the ready queue is as long as there are tasks that wait to run")
{
    RunningLoop loop;
    TaskProbes first(loop, "first", &here), second(loop, "second", &here);
    CHECK(waiting(loop) == 2);
    loop.begin(&first);
    CHECK(waiting(loop) == 1);
    first.suspended(&there);
    loop.end();
    first.ready();
    first.ready();
    CHECK(waiting(loop) == 2);
    loop.begin();
    loop.end();
    CHECK(waiting(loop) == 2);
    {
        const TaskProbes brief(loop, "brief", &here);
        CHECK(waiting(loop) == 3);
    }
    second.suspended(&there);
    CHECK(waiting(loop) == 1);
}

TEST_CASE("who was queued when a slow dispatch began has waited for it")
{
    RunningLoop loop;
    const Session session;
    TaskProbes slow(loop, "slow", &here);
    const TaskProbes waits(loop, "waits", &here), waits_too(loop, "waits too", &here);
    std::optional<TaskProbes> spawned;
    loop.begin(&slow);
    spawned.emplace(loop, "spawned", &here);
    hold_the_loop();
    slow.suspended(&there);
    loop.end();
    CHECK(loop.slot().impact_seq == 1);
    CHECK(loop.slot().impact_tasks == 2);
    CHECK(loop.slot().impact_max_ns >= 3'000'000);
    CHECK(loop.slot().impact_total_ns == 2 * loop.slot().impact_max_ns);
    CHECK(spawned->parent_id == slow.id);
}

TEST_CASE("time between two runs of a loop is no iteration")
{
    LoopProbes loop("loop");
    const Session session;
    loop.start();
    loop.end_poll(1);
    CHECK(loop.slot().iteration_start != 0);
    loop.stop();
    loop.start();
    CHECK(loop.slot().iteration_start == 0);
}

TEST_CASE("a task awaits nothing once it runs, whether or not somebody said that it is ready")
{
    RunningLoop loop;
    TaskProbes task(loop, "task", &here);
    const lw_awaited timer = {LW_AWAITED_TIMER, -1, 0, nullptr};
    loop.begin(&task);
    task.suspended(&there, &timer, 7);
    loop.end();
    CHECK(task.awaited == &timer);
    loop.begin(&task);
    CHECK(task.awaited == nullptr);
    CHECK(task.awaited_task == 0);
    CHECK(task.state == LW_TASK_RUNNING);
    loop.end();
}

TEST_CASE("a task is counted as finished when it has, and as cancelled")
{
    RunningLoop loop;
    {
        TaskProbes done(loop, "done", &here), cancelled(loop, "cancelled", &here);
        const TaskProbes dropped(loop, "dropped", &here);
        done.finished(LW_OUTCOME_RESULT);
        cancelled.cancel_requested("enough", done.id);
        cancelled.cancel_delivered();
        cancelled.finished(LW_OUTCOME_CANCELLED);
        CHECK(cancelled.cancelled_by == done.id);
    }
    CHECK(loop.slot().tasks_created == 3);
    CHECK(loop.slot().tasks_finished == 2);
    CHECK(loop.slot().tasks_cancelled == 1);
    CHECK(loop.slot().tasks == nullptr);
}

TEST_CASE("the leaf is the coroutine that runs or waits")
{
    RunningLoop loop;
    TaskProbes task(loop, "task", &here);
    PromiseProbes root, first, second;
    root.attach(task);
    const lw_frame* const outer = task.leaf;
    root.awaits(&here);
    first.attach(root);
    first.awaits(&there);
    CHECK(task.leaf->suspended_at == &there);
    CHECK(task.leaf->awaiter == outer);
    SECTION("it returns, and its awaiter goes on")
    {
        first.returned(LW_OUTCOME_RESULT);
        CHECK(task.leaf == outer);
        CHECK(first.task() == nullptr);
        CHECK(task.state != LW_TASK_FINISHED);
        root.returned(LW_OUTCOME_RESULT);
        CHECK(task.leaf == outer);
        CHECK(task.state == LW_TASK_FINISHED);
    }
    SECTION("of two branches the one that the loop resumes")
    {
        second.attach(root);
        loop.begin(first);
        CHECK(task.leaf->suspended_at == &there);
        second.returned(LW_OUTCOME_RESULT);
        CHECK(task.leaf->suspended_at == &there);
        loop.end();
    }
}

TEST_CASE("coroutines and their task may end in any order")
{
    RunningLoop loop;
    auto task = std::make_unique<TaskProbes>(loop, "task", &here);
    auto root = std::make_unique<PromiseProbes>(), child = std::make_unique<PromiseProbes>();
    root->attach(*task);
    root->awaits(&here);
    child->attach(*root);
    child->awaits(&there);
    SECTION("the child first")
    {
        child.reset();
        CHECK(task->leaf->suspended_at == &here);
        root.reset();
        CHECK(task->leaf->suspended_at == &here);
        task.reset();
    }
    SECTION("the task first")
    {
        task.reset();
        CHECK(child->task() == nullptr);
        CHECK(root->task() == nullptr);
    }
}

TEST_CASE("the child of a fork in the middle of a dispatch tells nothing")
{
    RunningLoop loop;
    const Session session;
    loop.begin();
    hold_the_loop();
    const pid_t child = ::fork();
    if (child == 0) {
        loop.end();
        ::_exit(loop.slot().impact_seq == 0 && loop.slot().busy_ticks == 0 && !LoopProbes::attached() ? 0 : 1);
    }
    loop.end();
    CHECK(loop.slot().impact_seq == 1);
    int status = -1;
    ::waitpid(child, &status, 0);
    CHECK(status == 0);
}
