// SPDX-License-Identifier: Apache-2.0
//
// The rules of runtime_probes/README.md ("What it promises"), each as a sentence: what a join, a cancellation, an
// exception, a limit and a loop's end may be relied on for.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

#include "outcome_of.hpp"

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

// Counts who holds it: a by-value parameter that outlives its task is seen.
struct Lease {
    explicit Lease(int& users) : users_(&users) { ++users; }
    Lease(Lease&& other) noexcept : users_(std::exchange(other.users_, nullptr)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease()
    {
        if (users_ != nullptr) --*users_;
    }

private:
    int* users_;
};

Task<> hold(Lease)
{
    co_await yield();
}

Task<int> hold_for_a_value(Lease)
{
    co_await yield();
    co_return 7;
}

Task<> sleep_long()
{
    co_await sleep_for(1h);
}

Task<> fail(std::string what)
{
    co_await yield();
    throw std::runtime_error(what);
}

// Runs `body(loop)` as a task, until nothing is left to do.
template <class F>
void run_on_loop(F body)
{
    Loop loop("main");
    spawn(loop, body(loop), "body").detach();
    loop.run();
}

}  // namespace

TEST_CASE("when a join returns, nothing of the task lives, its parameters neither")
{
    run_on_loop([](Loop& loop) -> Task<> {
        int users = 0;
        {
            const auto handle = spawn(loop, hold(Lease(users)));
            co_await handle;
            CHECK(users == 0);
        }
        {
            TaskGroup group(loop);
            group.spawn(hold(Lease(users)));
            co_await group.join();
            CHECK(users == 0);
        }
        co_await gather(hold(Lease(users)), hold_for_a_value(Lease(users)));
        CHECK(users == 0);
        {
            const auto ended = co_await with_timeout(10s, hold_for_a_value(Lease(users)));
            CHECK(ended == 7);
        }
        CHECK(users == 0);
    });
}

TEST_CASE("when work on another loop returns, nothing of it lives there")
{
    // Takes its time to go, so that whoever does not wait for it is ahead of it.
    struct SlowLease : Lease {
        using Lease::Lease;
        SlowLease(SlowLease&& other) noexcept : Lease(std::move(other)), last_(std::exchange(other.last_, false)) {}
        ~SlowLease()
        {
            if (last_) std::this_thread::sleep_for(2ms);
        }
        bool last_ = true;
    };
    Loop home("home"), other("other");
    const auto keeper = spawn(other, sleep_long(), "keeper");
    std::thread thread([&] { other.run(); });
    spawn(home,
          [](Loop& other) -> Task<> {
              for (int i = 0; i < 5; ++i) {
                  int users = 0;
                  co_await on_loop(other, [](SlowLease) -> Task<> { co_return; }(SlowLease(users)));
                  CHECK(users == 0);
              }
          }(other))
        .detach();
    home.run();
    other.stop();
    thread.join();
}

TEST_CASE("a cancellation at the moment a limit expires is delivered all the same")
{
    run_on_loop([](Loop& loop) -> Task<> {
        Event never;
        bool timed_out = false, cancelled = false;
        auto victim = spawn(loop, [](Event& never, bool& timed_out, bool& cancelled) -> Task<> {
            try {
                co_await with_timeout(5ms, [](Event& event) -> Task<> { co_await event.wait(); }(never));
            } catch (const TimedOut&) {
                timed_out = true;
            } catch (const Cancelled&) {
                cancelled = true;
                throw;
            }
            try {
                co_await yield();
                co_await yield();
            } catch (const Cancelled&) {
                cancelled = true;
                throw;
            }
        }(never, timed_out, cancelled));
        co_await yield();
        co_await yield();
        std::this_thread::sleep_for(10ms);  // both are due at the next poll
        co_await sleep_until(std::chrono::steady_clock::now() - 1ns);
        victim.cancel("shutdown");
        {
            const auto ended = co_await outcome_of([](JoinHandle<void>& victim) -> Task<> { co_await victim; }(victim));
            CHECK(ended == "cancelled: shutdown");
        }
        CHECK(cancelled);
    });
}

TEST_CASE("a limit of for ever is for ever")
{
    run_on_loop([](Loop&) -> Task<> {
        {
            const auto ended = co_await outcome_of(
                with_timeout(5ms, []() -> Task<> { co_await sleep_for(std::chrono::nanoseconds::max()); }()));
            CHECK(ended == "timed out");
        }
        {
            const auto ended = co_await outcome_of(with_timeout(
                5ms, []() -> Task<> { co_await sleep_until(std::chrono::steady_clock::time_point::max()); }()));
            CHECK(ended == "timed out");
        }
        {
            const auto ended = co_await outcome_of(
                with_timeout(std::chrono::nanoseconds::max(), []() -> Task<> { co_await sleep_for(1ms); }()));
            CHECK(ended == "done");
        }
        {
            const auto ended = co_await outcome_of(with_timeout(std::chrono::nanoseconds::min(), sleep_long()));
            CHECK(ended == "timed out");
        }
    });
}

TEST_CASE("a handle may be dropped while another task waits for its task")
{
    run_on_loop([](Loop& loop) -> Task<> {
        struct Shared {
            std::optional<JoinHandle<std::string>> handle;
        } shared;
        Event go;
        shared.handle.emplace(spawn(loop, [](Event& go) -> Task<std::string> {
            co_await go.wait();
            co_return "a result that does not fit into a small string";
        }(go)));
        auto waiter =
            spawn(loop, [](Shared& shared) -> Task<std::string> { co_return co_await *shared.handle; }(shared));
        co_await yield();
        co_await yield();
        shared.handle.reset();
        co_await yield();
        go.set();
        {
            const auto ended = co_await waiter;
            CHECK(ended == "a result that does not fit into a small string");
        }
    });
}

TEST_CASE("a task is awaited once: what is gone is refused")
{
    run_on_loop([](Loop& loop) -> Task<> {
        auto task = fail("no");
        auto other = std::move(task);
        bool refused = false;
        try {
            co_await std::move(task);
        } catch (const std::logic_error&) {
            refused = true;
        }
        CHECK(refused);
        CHECK_THROWS_AS(spawn(loop, std::move(task)), std::logic_error);
        {
            const auto ended = co_await outcome_of(std::move(other));
            CHECK(ended == "no");
        }
        // Once awaited it is gone too.
        auto once = []() -> Task<> { co_return; }();
        co_await std::move(once);
        {
            const auto ended = co_await outcome_of([](Task<>& once) -> Task<> { co_await std::move(once); }(once));
            CHECK(ended == "loopwatch: a task was awaited that had been awaited, spawned or moved away");
        }
        auto handle = spawn(loop, []() -> Task<> { co_return; }());
        auto moved = std::move(handle);
        {
            const auto ended = co_await outcome_of([](JoinHandle<void>& gone) -> Task<> { co_await gone; }(handle));
            CHECK(ended == "loopwatch: a handle was used that had been moved away");
        }
        co_await moved;
    });
}

TEST_CASE("one cancellation is delivered once, by an awaiter that is awaited again too")
{
    run_on_loop([](Loop& loop) -> Task<> {
        Event event;
        int cancelled = 0;
        auto task = spawn(loop, [](Event& event, int& cancelled) -> Task<> {
            auto waiting = event.wait();
            for (int i = 0; i < 2; ++i) {
                try {
                    co_await waiting;
                } catch (const Cancelled&) {
                    ++cancelled;
                }
            }
        }(event, cancelled));
        co_await yield();
        co_await yield();
        task.cancel("once");
        co_await yield();
        co_await yield();
        event.set();
        co_await task;
        CHECK(cancelled == 1);
    });
}

TEST_CASE("once a group has failed a child that it is given is cancelled as it comes")
{
    run_on_loop([](Loop& loop) -> Task<> {
        TaskGroup group(loop);
        bool ran = false;
        group.spawn(fail("boom"));
        group.spawn([](TaskGroup& group, bool& ran) -> Task<> {
            try {
                co_await sleep_long();
            } catch (const Cancelled&) {
                group.spawn([](bool& ran) -> Task<> {
                    co_await yield();
                    ran = true;
                }(ran));
                throw;
            }
        }(group, ran));
        {
            const auto ended = co_await outcome_of(group.join());
            CHECK(ended == "boom");
        }
        CHECK_FALSE(ran);
        // It was waited for and may be used again.
        group.spawn([](bool& ran) -> Task<> {
            co_await yield();
            ran = true;
        }(ran));
        co_await group.join();
        CHECK(ran);
    });
}

TEST_CASE("no exception disappears: what a group does not throw is given to the handler")
{
    std::vector<std::string> unretrieved;
    set_exception_handler([&](std::exception_ptr error, const Finding&) {
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& thrown) {
            unretrieved.push_back(thrown.what());
        }
    });
    SECTION("the second and third failure")
    {
        run_on_loop([](Loop& loop) -> Task<> {
            TaskGroup group(loop);
            for (const char* name : {"first", "second", "third"}) group.spawn(fail(name));
            {
                const auto ended = co_await outcome_of(group.join());
                CHECK(ended == "3 tasks failed: first; second; third");
            }
        });
        CHECK(unretrieved.empty());
    }
    SECTION("of a group that nobody joins")
    {
        run_on_loop([](Loop& loop) -> Task<> {
            TaskGroup group(loop);
            group.spawn(fail("lost"));
            co_await sleep_for(1ms);
        });
        CHECK(unretrieved == std::vector<std::string>{"lost"});
    }
    SECTION("while who joins is cancelled: the exception first, the cancellation at the next await")
    {
        run_on_loop([](Loop& loop) -> Task<> {
            std::vector<std::string> seen;
            auto waiter = spawn(loop, [](Loop& loop, std::vector<std::string>& seen) -> Task<> {
                TaskGroup group(loop);
                group.spawn([]() -> Task<> {
                    try {
                        co_await sleep_long();
                    } catch (const Cancelled&) {
                    }
                    throw std::runtime_error("data not saved");
                }());
                try {
                    co_await group.join();
                } catch (const std::exception& error) {
                    seen.push_back(error.what());
                }
                try {
                    co_await yield();
                } catch (const Cancelled& request) {
                    seen.push_back(request.reason());
                    throw;
                }
            }(loop, seen));
            co_await sleep_for(1ms);
            waiter.cancel("stop");
            {
                const auto ended =
                    co_await outcome_of([](JoinHandle<void>& waiter) -> Task<> { co_await waiter; }(waiter));
                CHECK(ended == "cancelled: stop");
            }
            CHECK(seen == std::vector<std::string>{"data not saved", "stop"});
        });
        CHECK(unretrieved.empty());
    }
    SECTION("with a limit, while who waits is cancelled")
    {
        run_on_loop([](Loop& loop) -> Task<> {
            auto waiter = spawn(loop, []() -> Task<> {
                try {
                    co_await with_timeout(10s, []() -> Task<> {
                        try {
                            co_await sleep_long();
                        } catch (const Cancelled&) {
                        }
                        throw std::runtime_error("data not saved");
                    }());
                } catch (const std::runtime_error&) {
                }
                co_await yield();
            }());
            co_await sleep_for(1ms);
            waiter.cancel("stop");
            {
                const auto ended =
                    co_await outcome_of([](JoinHandle<void>& waiter) -> Task<> { co_await waiter; }(waiter));
                CHECK(ended == "cancelled: stop");
            }
        });
    }
    set_exception_handler(nullptr);
}

TEST_CASE("a result that cannot be moved is an exception of its task")
{
    struct Heavy {
        Heavy() = default;
        Heavy(const Heavy& other) : throws(other.throws)
        {
            if (throws && *throws) throw std::runtime_error("cannot be copied");
        }
        Heavy& operator=(const Heavy&) = default;
        const bool* throws = nullptr;
    };
    run_on_loop([](Loop& loop) -> Task<> {
        bool throws = false;
        struct Armed {
            bool& throws;
            ~Armed() { throws = true; }
        };
        auto handle = spawn(loop, [](bool& throws) -> Task<Heavy> {
            Heavy heavy;
            heavy.throws = &throws;
            const Armed armed{throws};  // once the result stands in the promise
            co_return heavy;
        }(throws));
        bool told = false;
        try {
            (void)co_await handle;
        } catch (const std::runtime_error&) {
            told = true;
        }
        CHECK(told);
    });
}

TEST_CASE("what run() was asked to stop has no result, and says so")
{
    const auto stopped = []() -> Task<int> {
        Loop::current()->stop();
        co_await sleep_for(1ms);
        co_return 42;
    };
    CHECK_THROWS_AS(run(stopped()), LoopStopped);
    CHECK_THROWS_AS(run([](Task<int> task) -> Task<> { (void)co_await std::move(task); }(stopped())), LoopStopped);
}

TEST_CASE("a loop ends in whatever state its tasks are")
{
    Event one("one"), two("two");
    int ended = 0;
    struct AtEnd {
        Event& event;
        int& ended;
        ~AtEnd()
        {
            event.set();
            ++ended;
        }
    };
    {
        Loop loop("main");
        const auto wait = [&](Event& waits, Event& sets) {
            return [](Event& waits, Event& sets, int& ended) -> Task<> {
                const AtEnd at_end{sets, ended};
                co_await waits.wait();
            }(waits, sets, ended);
        };
        for (int i = 0; i < 4; ++i) spawn(loop, wait(i % 2 ? one : two, i % 2 ? two : one)).detach();
        spawn(loop,
              [](Loop& loop) -> Task<> {
                  co_await sleep_for(1ms);
                  loop.stop();
              }(loop))
            .detach();
        loop.run();
    }
    CHECK(ended == 4);
}

TEST_CASE("a handle outlives its loop: the task is done, and has no result")
{
    alignas(Loop) unsigned char room[sizeof(Loop)];
    auto* const first = new (room) Loop("first");
    auto handle = spawn(*first, sleep_long());
    spawn(*first,
          [](Loop& loop) -> Task<> {
              co_await sleep_for(1ms);
              loop.stop();
          }(*first))
        .detach();
    first->run();
    first->~Loop();
    CHECK(handle.done());
    handle.cancel("too late");
    // Another one at the same place is not the same one.
    auto* const second = new (room) Loop("second");
    spawn(*second,
          [](JoinHandle<void>& handle) -> Task<> {
              handle.cancel("too late");
              {
                  const auto ended =
                      co_await outcome_of([](JoinHandle<void>& handle) -> Task<> { co_await handle; }(handle));
                  CHECK(ended == "the loop is gone");
              }
          }(handle))
        .detach();
    second->run();
    second->~Loop();
}

TEST_CASE("work that its pool does not come to is told so")
{
    std::optional<asio::thread_pool> pool(std::in_place, 1);
    std::atomic<bool> go{false};
    asio::post(*pool, [&go] {
        while (!go) std::this_thread::sleep_for(1ms);
    });
    std::thread stopper;
    run_on_loop([&](Loop& loop) -> Task<> {
        auto waiting =
            spawn(loop, [](asio::thread_pool& pool) -> Task<> { co_await run_in_executor(pool, [] {}); }(*pool));
        co_await yield();
        pool->stop();
        stopper = std::thread([&] {
            go = true;
            pool.reset();
        });
        const auto ended = co_await outcome_of([](JoinHandle<void>& waiting) -> Task<> { co_await waiting; }(waiting));
        CHECK(ended == "the pool was stopped before it ran the function");
    });
    stopper.join();
}

TEST_CASE("an operation whose handler is destroyed uncalled ends")
{
    run_on_loop([](Loop& loop) -> Task<> {
        const auto ended = co_await outcome_of([]() -> Task<> {
            co_await asio::async_initiate<const UseTask<true>&, void(std::error_code)>([](auto&&) {}, use_task);
        }());
        CHECK(ended.find("its handler was destroyed uncalled") == 0);
        const auto thrown = co_await outcome_of([]() -> Task<> {
            co_await asio::async_initiate<const UseTask<true>&, void(std::error_code)>(
                [](auto&&) { throw std::runtime_error("it could not be started"); }, use_task);
        }());
        CHECK(thrown == "it could not be started");
        // By the end of a context that another thread owns.
        auto other = std::make_unique<asio::io_context>();
        auto other_timer = std::make_unique<asio::steady_timer>(*other, 1h);
        std::atomic<bool> waits{false};
        std::thread thread([&] {
            while (!waits) std::this_thread::yield();
            other_timer.reset();
            other.reset();
        });
        loop.post([&] { waits = true; });  // a dispatch after this task's, which ends when it waits
        const auto dropped = co_await outcome_of(
            [](asio::steady_timer& timer) -> Task<> { co_await timer.async_wait(use_task); }(*other_timer));
        CHECK(dropped.find("its handler was destroyed uncalled") == 0);
        thread.join();
    });
}

TEST_CASE("an operation of another context is cancelled on that context's thread")
{
    asio::io_context other;
    auto work = asio::make_work_guard(other);
    std::thread thread([&] { other.run(); });
    run_on_loop([&other](Loop& loop) -> Task<> {
        int cancelled = 0, done = 0;
        for (int i = 0; i < 200; ++i) {
            auto waiting = spawn(loop, [](asio::io_context& other, int i) -> Task<> {
                asio::steady_timer timer(other, std::chrono::microseconds(i % 100));
                co_await timer.async_wait(use_task);
            }(other, i));
            co_await sleep_for(std::chrono::microseconds(i * 7 % 100));
            waiting.cancel("enough");
            const auto ended =
                co_await outcome_of([](JoinHandle<void>& waiting) -> Task<> { co_await waiting; }(waiting));
            ++(ended == "done" ? done : cancelled);
        }
        CHECK(cancelled + done == 200);
    });
    work.reset();
    thread.join();
}

TEST_CASE("a deep chain of awaits ends with its loop")
{
    struct Deep {
        static Task<> go(int depth)
        {
            if (depth == 0)
                co_await sleep_long();
            else
                co_await go(depth - 1);
        }
    };
    // Under the sanitizers g++ resumes a child within its awaiter's stack frame: 8 MiB of stack are full before that.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    constexpr int depth = 1'000;
#else
    constexpr int depth = 100'000;
#endif
    Loop loop("main");
    spawn(loop, Deep::go(depth)).detach();
    spawn(loop,
          [](Loop& loop) -> Task<> {
              co_await sleep_for(1ms);
              loop.stop();
          }(loop))
        .detach();
    loop.run();
}

namespace {

// Catches its cancellation, and needs some time to end.
Task<> clean_up_slowly(bool& cleaned_up)
{
    try {
        co_await sleep_long();
    } catch (const Cancelled&) {
    }
    co_await sleep_for(5ms);
    cleaned_up = true;
}

}  // namespace

TEST_CASE("run() that was stopped waits for the tasks that are left")
{
    bool cleaned_up = false;
    const auto stops = [](bool& cleaned_up) -> Task<> {
        spawn(*Loop::current(), clean_up_slowly(cleaned_up)).detach();
        co_await yield();
        Loop::current()->stop();
        co_await sleep_long();
    };
    CHECK_THROWS_AS(run(stops(cleaned_up)), LoopStopped);
    CHECK(cleaned_up);
}

TEST_CASE("run() from which a callback throws waits for the tasks that are left and throws all exceptions")
{
    bool cleaned_up = false;
    const auto posts = [](bool& cleaned_up, bool fails) -> Task<> {
        Loop& loop = *Loop::current();
        spawn(loop, clean_up_slowly(cleaned_up)).detach();
        co_await yield();
        loop.post([] { throw std::runtime_error("callback"); });
        loop.post([&loop] { loop.post([] { throw std::runtime_error("callback of the shut-down"); }); });
        try {
            co_await sleep_long();
        } catch (const Cancelled&) {
            if (!fails) throw;
        }
        throw std::runtime_error("main");
    };
    CHECK_THROWS_WITH(run(posts(cleaned_up, false)), "2 tasks failed: callback; callback of the shut-down");
    CHECK(cleaned_up);
    cleaned_up = false;
    CHECK_THROWS_WITH(run(posts(cleaned_up, true)), "3 tasks failed: callback; callback of the shut-down; main");
    CHECK(cleaned_up);
}

TEST_CASE("callbacks that throw do not keep run() from ending")
{
    struct Throws {
        Loop& loop;
        void operator()() const
        {
            loop.post(*this);
            throw std::runtime_error("callback");
        }
    };
    const auto posts = []() -> Task<> {
        Loop::current()->post(Throws{*Loop::current()});
        co_await sleep_long();
    };
    CHECK_THROWS_AS(run(posts(), {.cleanup_limit = 1ms}), std::exception);
}

TEST_CASE("an exception that main ends with after a stop is thrown instead of LoopStopped")
{
    const auto fails = []() -> Task<> {
        Loop::current()->stop();
        try {
            co_await sleep_long();
        } catch (const Cancelled&) {
        }
        throw std::runtime_error("data not saved");
    };
    CHECK_THROWS_WITH(run(fails()), "data not saved");
}
