// SPDX-License-Identifier: Apache-2.0
//
// Semaphores: how many come in, in which order, and that no permit is lost.
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

TEST_CASE("as many tasks as there are permits are inside at a time, in the order in which they came")
{
    run([]() -> Task<> {
        Semaphore seats(2, "seats");
        int inside = 0, most = 0;
        std::vector<int> order;
        std::vector<Task<>> tasks;
        for (int i = 0; i < 6; ++i)
            tasks.push_back([](Semaphore& seats, int& inside, int& most, std::vector<int>& order, int i) -> Task<> {
                const Permit permit = co_await seats.acquire();
                order.push_back(i);
                most = std::max(most, ++inside);
                co_await yield();
                --inside;
            }(seats, inside, most, order, i));
        co_await gather(std::move(tasks));
        CHECK(most == 2);
        CHECK(order == std::vector<int>{0, 1, 2, 3, 4, 5});
        CHECK(seats.available() == 2);
    }());
}

TEST_CASE("a permit may be tried for, moved, replaced and added to")
{
    Semaphore seats(2);
    std::optional<Permit> first = seats.try_acquire();
    REQUIRE(first);
    Permit second = std::move(*first);
    first.reset();
    CHECK(seats.available() == 1);
    {
        std::optional<Permit> third = seats.try_acquire();
        REQUIRE(third);
        CHECK_FALSE(seats.try_acquire());
        second = std::move(*third);
        CHECK(seats.available() == 1);
    }
    seats.add(3);
    CHECK(seats.available() == 4);
}

TEST_CASE("a permit that is granted as the cancellation comes is kept, and not lost")
{
    run([]() -> Task<> {
        Semaphore seats(1);
        std::string seen;
        std::optional<Permit> held = co_await seats.acquire();
        auto waiter = spawn(*Loop::current(), [](Semaphore& seats, std::string& seen) -> Task<> {
            const Permit permit = co_await seats.acquire();
            seen = "granted";
            co_await yield();
            seen = "went on";
        }(seats, seen));
        auto cancelled = spawn(*Loop::current(), [](Semaphore& seats) -> Task<> {
            const Permit permit = co_await seats.acquire();
        }(seats));
        co_await yield();
        cancelled.cancel("enough");
        held.reset();
        waiter.cancel("closing");
        try {
            co_await waiter;
        } catch (const Cancelled& request) {
            seen += ", " + request.reason();
        }
        CHECK(seen == "granted, closing");
        CHECK(seats.available() == 1);
    }());
}

TEST_CASE("who waits for a permit shows who has held one for longest", "[probes]")
{
    run([]() -> Task<> {
        Loop& loop = *Loop::current();
        Semaphore seats(2, "seats");
        Event leave;
        const auto hold = [](Semaphore& seats, Event& leave) -> Task<> {
            const Permit permit = co_await seats.acquire();
            co_await leave.wait();
        };
        auto first = spawn(loop, hold(seats, leave), "first");
        auto second = spawn(loop, hold(seats, leave), "second");
        auto third = spawn(loop, hold(seats, leave), "third");
        co_await yield();
        const lw_task* task = loop.slot().tasks;
        while (task->id != third.id()) task = task->next;
        CHECK(task->awaited->kind == LW_AWAITED_SEMAPHORE);
        CHECK(task->awaited->value == first.id());
        CHECK(std::string(task->awaited->name) == "seats");
        leave.set();
        co_await first;
        co_await second;
        co_await third;
    }());
}

TEST_CASE("a task that was granted a permit and is destroyed gives it back")
{
    Semaphore seats(1);
    {
        Loop loop("main");
        std::optional<Permit> held = seats.try_acquire();
        spawn(loop, [](Semaphore& seats) -> Task<> { const Permit permit = co_await seats.acquire(); }(seats));
        loop.post([&] {
            held.reset();
            loop.stop();
        });
        loop.run();
    }
    CHECK(seats.available() == 1);
}

TEST_CASE("permits that are added go to the tasks that wait, in their order")
{
    run([]() -> Task<> {
        Loop& loop = *Loop::current();
        Semaphore seats(0);
        Event leave;
        std::string order;
        TaskGroup guests(loop);
        for (const char name : {'a', 'b', 'c'})
            guests.spawn([](Semaphore& seats, Event& leave, std::string& order, char name) -> Task<> {
                const Permit permit = co_await seats.acquire();
                order += name;
                co_await leave.wait();
            }(seats, leave, order, name));
        co_await yield();
        seats.add(2);
        for (int i = 0; i < 3; ++i) co_await yield();
        CHECK(order == "ab");
        CHECK(seats.available() == 0);
        leave.set();
        co_await guests.join();
        CHECK(order == "abc");
        CHECK(seats.available() == 2);
    }());
}
