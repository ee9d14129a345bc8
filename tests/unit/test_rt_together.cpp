// SPDX-License-Identifier: Apache-2.0
//
// Events, groups of tasks, time limits; and that cancellation passes through all of them.
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

Task<> wait_for(Event& event, std::string name, Log& log)
{
    try {
        co_await event.wait();
        log.push_back(name);
    } catch (const Cancelled& request) {
        log.push_back(name + " cancelled: " + request.reason());
        throw;
    }
}

Task<> sleep_then_log(std::chrono::nanoseconds time, std::string name, Log& log)
{
    try {
        co_await sleep_for(time);
        log.push_back(name);
    } catch (const Cancelled& request) {
        log.push_back(name + " cancelled: " + request.reason());
        throw;
    }
}

Task<> fail_after(std::chrono::nanoseconds time)
{
    co_await sleep_for(time);
    throw std::runtime_error("no more paper");
}

// Runs one task on a loop of its own, to its end.
template <class F>
void run(F body)
{
    Loop loop("main");
    spawn(loop, body(loop), "body");
    loop.run();
}

}  // namespace

TEST_CASE("an event wakes all who wait, in their order, and holds up nobody after")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        Event event;
        auto first = spawn(loop, wait_for(event, "first", log), "first");
        auto second = spawn(loop, wait_for(event, "second", log), "second");
        auto third = spawn(loop, wait_for(event, "third", log), "third");
        co_await sleep_for(1ms);
        CHECK(log.empty());
        second.cancel("enough");
        co_await sleep_for(1ms);
        event.set();
        co_await first;
        co_await third;
        co_await event.wait();
        CHECK(event.is_set());
        event.clear();
        auto fourth = spawn(loop, wait_for(event, "fourth", log), "fourth");
        co_await sleep_for(1ms);
        event.set();
        co_await fourth;
    });
    CHECK(log == Log{"second cancelled: enough", "first", "third", "fourth"});
}

TEST_CASE("a task that waits for an event may be destroyed")
{
    Event event;
    Log log;
    {
        Loop loop("main");
        spawn(loop, wait_for(event, "waiter", log), "waiter");
        spawn(
            loop,
            [](Loop& on) -> Task<> {
                co_await sleep_for(1ms);
                on.stop();
            }(loop),
            "stopper");
        loop.run();
    }
    event.set();
    CHECK(log.empty());
}

TEST_CASE("a group ends with its last task")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        TaskGroup group(loop);
        group.spawn(sleep_then_log(2ms, "slow", log), "slow");
        group.spawn(sleep_then_log(1ms, "quick", log), "quick");
        CHECK(group.alive() == 2);
        co_await group.join();
        log.push_back("joined");
        co_await group.join();  // nothing to wait for
    });
    CHECK(log == Log{"quick", "slow", "joined"});
}

TEST_CASE("a task of a group that fails ends the others, and whoever waits sees why")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        TaskGroup group(loop);
        group.spawn(sleep_then_log(1h, "long", log), "long");
        group.spawn(fail_after(1ms), "failing");
        try {
            co_await group.join();
        } catch (const std::runtime_error& error) {
            log.push_back(error.what());
        }
        CHECK(group.alive() == 0);
    });
    CHECK(log == Log{"long cancelled: another task of its group failed", "no more paper"});
}

TEST_CASE("cancelling who waits for a group cancels the group, and it is waited for")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        auto waiter = spawn(
            loop,
            [](Loop& on, Log& to) -> Task<> {
                TaskGroup group(on);
                group.spawn(sleep_then_log(1h, "child", to), "child");
                try {
                    co_await group.join();
                } catch (const Cancelled& request) {
                    to.push_back("join cancelled: " + request.reason());
                    throw;
                }
            }(loop, log),
            "waiter");
        co_await sleep_for(1ms);
        waiter.cancel("shutdown");
        CHECK_THROWS_AS(co_await waiter, Cancelled);
    });
    CHECK(log == Log{"child cancelled: shutdown", "join cancelled: shutdown"});
}

TEST_CASE("a group that is gone takes its tasks along")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        {
            TaskGroup group(loop);
            group.spawn(sleep_then_log(1h, "child", log), "child");
            co_await sleep_for(1ms);
        }
        co_await sleep_for(1ms);
    });
    CHECK(log == Log{"child cancelled: its group is gone"});
}

TEST_CASE("what is done in time gives its result")
{
    run([](Loop&) -> Task<> {
        const auto number = []() -> Task<std::unique_ptr<int>> {
            co_await sleep_for(1ms);
            co_return std::make_unique<int>(7);
        };
        const auto got = co_await with_timeout(1h, number());
        CHECK(*got == 7);
        CHECK_THROWS_AS(co_await with_timeout(1h, fail_after(1ms)), std::runtime_error);
    });
}

TEST_CASE("what takes too long is cancelled, and that is told")
{
    Log log;
    run([&log](Loop&) -> Task<> {
        try {
            co_await with_timeout(2ms, sleep_then_log(1h, "slow", log));
        } catch (const TimedOut& error) {
            log.push_back(error.what());
        }
    });
    CHECK(log == Log{"slow cancelled: timed out", "timed out"});
}

TEST_CASE("cancelling who waits with a limit cancels what it waits for")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        auto waiter = spawn(loop, with_timeout(1h, sleep_then_log(1h, "inner", log)), "waiter");
        co_await sleep_for(1ms);
        waiter.cancel("shutdown");
        CHECK_THROWS_AS(co_await waiter, Cancelled);
    });
    CHECK(log == Log{"inner cancelled: shutdown"});
}

namespace {

Task<> count_after_yield(int& count)
{
    co_await yield();
    ++count;
}

}  // namespace

TEST_CASE("a group that was cancelled cancels new children until it is joined, also if it had no child")
{
    run([](Loop& loop) -> Task<> {
        int ran = 0;
        TaskGroup group(loop);
        group.cancel("closing");
        group.spawn(count_after_yield(ran));
        co_await group.join();
        CHECK(ran == 0);
        group.spawn(count_after_yield(ran));
        co_await group.join();
        CHECK(ran == 1);
    });
}

TEST_CASE("a group that has failed cancels new children, also if it is cancelled after its last child has ended")
{
    run([](Loop& loop) -> Task<> {
        int ran = 0;
        TaskGroup group(loop);
        group.spawn(fail_after(0ns));
        while (group.alive() != 0) co_await sleep_for(1ms);
        group.cancel("closing");
        group.spawn(count_after_yield(ran));
        CHECK_THROWS_AS(co_await group.join(), std::runtime_error);
        CHECK(ran == 0);
    });
}
