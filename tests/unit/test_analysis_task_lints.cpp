// SPDX-License-Identifier: Apache-2.0
//
// What two looks at the tasks of a process show to be wrong.
#include <vector>

#include <catch2/catch.hpp>

#include "analysis/task_lints.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t second = 1'000'000'000, max_frame = 16'384;

LintTask task(std::uint64_t id, std::uint64_t resumes, bool waited, std::uint64_t place = 7)
{
    return {id, "poller", place, resumes, waited};
}

LintTask waiter(std::uint64_t id, std::uint64_t resumes, std::uint64_t awaits, std::uint64_t holder)
{
    return {id, "waiter", 7, resumes, true, false, awaits, holder};
}

}  // namespace

TEST_CASE("a task that is resumed all the time and waits for nothing wakes itself")
{
    const std::vector<LintTask> before{task(1, 100, false), task(2, 100, true), task(3, 100, false)};
    const std::vector<LintTask> now{task(1, 500'100, false), task(2, 500'100, true), task(3, 5'100, false)};
    const auto lints = lint_tasks(now, before, second, max_frame);
    REQUIRE(lints.size() == 1);
    CHECK(lints[0].rule == "self_wake");
    CHECK(lints[0].task == 1);
    CHECK(lints[0].text.find("poller#1") != std::string::npos);
    CHECK(lint_tasks(now, before, 100 * second, max_frame).empty());
}

TEST_CASE("a place whose live tasks double, and by a hundred, grows")
{
    std::vector<LintTask> before, now;
    for (std::uint64_t id = 1; id <= 300; ++id) now.push_back(task(id, 1, true, id <= 250 ? 7 : 8));
    for (std::uint64_t id = 1; id <= 120; ++id) before.push_back(task(id, 1, true, 7));
    const auto lints = lint_tasks(now, before, second, max_frame);
    REQUIRE(lints.size() == 1);
    CHECK(lints[0].rule == "growing_site");
    CHECK(lints[0].place == 7);
    CHECK(lint_tasks(before, before, second, max_frame).empty());
}

TEST_CASE("a task that runs at both looks, and was not resumed in between, does not yield")
{
    LintTask stuck = task(1, 5, true), busy = task(2, 5, true), other = task(3, 5, true);
    stuck.running = busy.running = true;
    const std::vector<LintTask> before{stuck, busy, other};
    ++busy.resumes;
    const auto lints = lint_tasks(std::vector<LintTask>{stuck, busy, other}, before, second, max_frame);
    REQUIRE(lints.size() == 1);
    CHECK(lints[0].rule == "never_yields");
    CHECK(lints[0].task == 1);
    CHECK(lints[0].text == "poller#1 has run for 1 s without an await that waits");
}

TEST_CASE("tasks that wait for each other at both looks cannot be woken")
{
    // 1 joins 2, which waits for a lock that 3 holds, which joins 1; 4 joins 1.
    std::vector<LintTask> circle{waiter(1, 5, 2, 0), waiter(2, 5, 0, 3), waiter(3, 5, 1, 0), waiter(4, 5, 1, 0)};
    const auto lints = lint_tasks(circle, circle, second, max_frame);
    REQUIRE(lints.size() == 1);
    CHECK(lints[0].rule == "cannot_wake");
    CHECK(lints[0].text == "nobody can wake waiter#1: waiter#1 → waiter#2 → waiter#3 → waiter#1");
    auto before = circle;
    before[1].resumes = 4;  // it has gone on: the circle is one of two moments
    CHECK(lint_tasks(circle, before, second, max_frame).empty());
    before = circle;
    circle[2].awaits = 0;
    CHECK(lint_tasks(circle, before, second, max_frame).empty());
}

TEST_CASE("one look alone shows nothing, and a counter that went back no billion of resumes")
{
    const std::vector<LintTask> now{task(1, 5, false)};
    CHECK(lint_tasks(now, {}, second, max_frame).empty());
    CHECK(lint_tasks(now, std::vector<LintTask>{task(1, 6, false)}, second, max_frame).empty());
    CHECK(lint_tasks(now, now, 0, max_frame).empty());
}

TEST_CASE("coroutines whose frame is larger than the bound are told once each")
{
    std::vector<LintTask> now;
    for (std::uint64_t id = 1; id <= 3; ++id) now.push_back(task(id, 1, true));
    now[0].frame_bytes = now[1].frame_bytes = max_frame + 1;
    now[2].frame_bytes = max_frame;
    now[0].frame_of = now[1].frame_of = now[2].frame_of = 9;
    const auto lints = lint_tasks(now, now, second, max_frame);
    REQUIRE(lints.size() == 1);
    CHECK(lints[0].rule == "large_frame");
    CHECK(lints[0].place == 9);
    CHECK(lints[0].text == "16 KiB in one coroutine's frame, of 2 live tasks");
    CHECK(lint_tasks(now, now, second, max_frame + 1).empty());
}
