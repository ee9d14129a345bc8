// SPDX-License-Identifier: Apache-2.0
//
// What callers do at the edges of the runtime: calls to a pool that refer to the caller, groups joined from within,
// locks that change hands, handlers that never let the loop go.
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <asio/post.hpp>
#include <asio/thread_pool.hpp>

#include <loopwatch/rt.hpp>

#include "outcome_of.hpp"

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

struct OnePool {
    asio::thread_pool threads{1};
    std::latch begun{1}, may_end{1};
};

// Its local is gone when the task has ended; the call writes to it at its end.
Task<> refer_to_a_local(OnePool& pool, bool& was_alive, bool& went_on)
{
    struct Local {
        bool alive = true;
        ~Local() { alive = false; }
    } local;
    co_await run_in_executor_to_end(pool.threads, [&] {
        pool.begun.count_down();
        pool.may_end.wait();
        was_alive = local.alive;
    });
    went_on = true;
    co_await yield();
    went_on = false;
}

std::optional<std::errc> deadlock_of(const std::system_error& error)
{
    return error.code() == std::errc::resource_deadlock_would_occur
               ? std::optional(std::errc::resource_deadlock_would_occur)
               : std::nullopt;
}

}  // namespace

TEST_CASE("a cancelled call to the end is waited for, and the cancellation comes at the next await", "[rt]")
{
    OnePool pool;
    bool was_alive = false, went_on = false, cancelled = false;
    Loop loop;
    auto task = spawn(loop, refer_to_a_local(pool, was_alive, went_on));
    spawn(loop, [](OnePool& one, JoinHandle<void>& refers, bool& seen) -> Task<> {
        co_await run_in_executor([&one] { one.begun.wait(); });
        refers.cancel("now");
        co_await yield();
        one.may_end.count_down();
        try {
            co_await refers;
        } catch (const Cancelled&) {
            seen = true;
        }
    }(pool, task, cancelled));
    loop.run();
    CHECK(was_alive);
    CHECK(went_on);
    CHECK(cancelled);
}

TEST_CASE("a call to the end that its pool has not begun is not made once it is cancelled", "[rt]")
{
    OnePool pool;
    asio::post(pool.threads, [&] { pool.may_end.wait(); });
    std::atomic<bool> called{false};
    bool cancelled = false;
    Loop loop;
    auto task = spawn(loop, [](OnePool& one, std::atomic<bool>& was_called) -> Task<> {
        co_await run_in_executor_to_end(one.threads, [&] { was_called = true; });
    }(pool, called));
    spawn(loop, [](JoinHandle<void>& queued, bool& seen) -> Task<> {
        co_await yield();
        queued.cancel("now");
        try {
            co_await queued;
        } catch (const Cancelled&) {
            seen = true;
        }
    }(task, cancelled));
    loop.run();
    pool.may_end.count_down();
    pool.threads.join();
    CHECK(cancelled);
    CHECK_FALSE(called);
}

TEST_CASE("a loop that is destroyed while a call to the end runs waits for it", "[rt]")
{
    OnePool pool;
    bool was_alive = false, went_on = false;
    {
        Loop loop;
        spawn(loop, refer_to_a_local(pool, was_alive, went_on));
        spawn(loop, [](OnePool& one, Loop& stopped) -> Task<> {
            co_await run_in_executor([&one] { one.begun.wait(); });
            stopped.stop();
        }(pool, loop));
        loop.run();
        asio::post(default_executor(), [&] {
            std::this_thread::sleep_for(10ms);
            pool.may_end.count_down();
        });
    }
    CHECK(was_alive);
    CHECK_FALSE(went_on);
}

TEST_CASE("a group that is joined by its own child is refused as a deadlock, and in debug mode reported", "[rt]")
{
    std::optional<std::errc> direct, through_a_task;
    Loop loop;
    spawn(loop, [](Loop& its, std::optional<std::errc>& one, std::optional<std::errc>& other) -> Task<> {
        TaskGroup group(its);
        group.spawn([](TaskGroup& own, std::optional<std::errc>& error) -> Task<> {
            try {
                co_await own.join();
            } catch (const std::system_error& thrown) {
                error = deadlock_of(thrown);
            }
        }(group, one));
        group.spawn([](TaskGroup& own, std::optional<std::errc>& error) -> Task<> {
            try {
                co_await with_timeout(std::chrono::nanoseconds::max(), own.join());
            } catch (const std::system_error& thrown) {
                error = deadlock_of(thrown);
            }
        }(group, other));
        co_await group.join();
    }(loop, direct, through_a_task));
    std::vector<std::string> found;
    set_finding_handler([&](const Finding& finding) { found.emplace_back(finding.type); });
    set_debug(true);
    loop.run();
    set_debug(false);
    set_finding_handler(nullptr);
    CHECK(direct.has_value());
    CHECK(through_a_task.has_value());
#ifndef LOOPWATCH_NO_PROBES
    CHECK(found == std::vector<std::string>{"deadlock", "deadlock"});
#endif
}

TEST_CASE("a lock that was moved to another task is held until that one lets it go", "[rt]")
{
    std::vector<std::string> order;
    Loop loop;
    Mutex mutex;
    spawn(loop, [](Loop& its, Mutex& shared, std::vector<std::string>& events) -> Task<> {
        spawn(its, [](MutexLock, std::vector<std::string>& seen) -> Task<> {
            co_await sleep_for(1ms);
            seen.emplace_back("second lets go");
        }(co_await shared.lock(), events));
        events.emplace_back("first ends");
    }(loop, mutex, order));
    spawn(loop, [](Mutex& shared, std::vector<std::string>& events) -> Task<> {
        co_await yield();
        const MutexLock lock = co_await shared.lock();
        events.emplace_back("third has it");
    }(mutex, order));
    loop.run();
    CHECK(order == std::vector<std::string>{"first ends", "second lets go", "third has it"});
    CHECK_FALSE(mutex.locked());
}

TEST_CASE("stop() ends a loop whose Asio handler posts itself for ever", "[rt]")
{
    Loop loop;
    std::atomic<bool> over{false};
    std::function<void()> again = [&] {
        if (!over) asio::post(loop.context(), again);
    };
    asio::post(loop.context(), again);
    spawn(loop, []() -> Task<> { co_await sleep_for(1h); }());
    std::thread stopper([&] {
        std::this_thread::sleep_for(5ms);
        loop.stop();
        std::this_thread::sleep_for(500ms);
        over = true;  // an old loop comes to its end too, late
    });
    const auto begin = std::chrono::steady_clock::now();
    loop.run();
    const auto took = std::chrono::steady_clock::now() - begin;
    over = true;
    stopper.join();
    CHECK(took < 400ms);
}

namespace {

Task<> count_refused_lock(Mutex& mutex, int& refused)
{
    try {
        const MutexLock lock = co_await mutex.lock();
    } catch (const std::system_error& error) {
        if (deadlock_of(error)) ++refused;
    }
}

Task<> lock_in_a_task(Mutex& mutex, int& refused)
{
    const auto task = spawn(*Loop::current(), count_refused_lock(mutex, refused));
    co_await task;
}

enum class Wait { join, group, gather, when_any };

Task<> hold_and_wait(Mutex& mutex, Wait how, int& refused)
{
    const MutexLock lock = co_await mutex.lock();
    switch (how) {
        case Wait::join: {
            const auto task = spawn(*Loop::current(), lock_in_a_task(mutex, refused));
            co_await task;
            break;
        }
        case Wait::group: {
            TaskGroup group(*Loop::current());
            group.spawn(lock_in_a_task(mutex, refused));
            co_await group.join();
            break;
        }
        case Wait::gather: co_await gather(count_refused_lock(mutex, refused), lock_in_a_task(mutex, refused)); break;
        case Wait::when_any: co_await when_any(count_refused_lock(mutex, refused)); break;
    }
}

}  // namespace

TEST_CASE("a lock whose holder waits for the task is refused, whatever the holder waits with", "[rt]")
{
    const Wait how = GENERATE(Wait::join, Wait::group, Wait::gather, Wait::when_any);
    int refused = 0;
    std::string end;
    run([](Wait how, int& refused, std::string& end) -> Task<> {
        Mutex mutex;
        end = co_await outcome_of(with_timeout(2s, hold_and_wait(mutex, how, refused)));
        CHECK_FALSE(mutex.locked());
    }(how, refused, end));
    CHECK(end == "done");
    CHECK(refused == (how == Wait::gather ? 2 : 1));
}

TEST_CASE("a child that joins the task that waits for its group is refused, also when that has begun to wait", "[rt]")
{
    std::string end;
    run([](std::string& end) -> Task<> {
        std::optional<JoinHandle<void>> joiner;
        joiner.emplace(spawn(*Loop::current(), [](std::optional<JoinHandle<void>>& self, std::string& end) -> Task<> {
            TaskGroup group(*Loop::current());
            group.spawn([](std::optional<JoinHandle<void>>& parent, std::string& end) -> Task<> {
                co_await sleep_for(1ms);
                end = co_await outcome_of(
                    with_timeout(2s, [](JoinHandle<void>& handle) -> Task<> { co_await handle; }(*parent)));
            }(self, end));
            co_await group.join();
        }(joiner, end)));
        co_await sleep_for(5ms);
        while (!joiner->done()) co_await sleep_for(1ms);
    }(end));
    CHECK_THAT(end, Catch::Contains("deadlock"));
}

TEST_CASE("a call to a pool that has ended gives its result first, and Cancelled comes at the next await", "[rt]")
{
    asio::thread_pool pool(1);
    int result = 0;
    std::string reason;
    Loop loop;
    auto task = spawn(loop, [](asio::thread_pool& threads, int& to, std::string& why) -> Task<> {
        to = co_await run_in_executor(threads, [] { return 7; });
        try {
            co_await yield();
        } catch (const Cancelled& request) {
            why = request.reason();
        }
    }(pool, result, reason));
    spawn(loop,
          [](asio::thread_pool& threads, JoinHandle<void>& waits) -> Task<> {
              co_await yield();
              std::latch after{1};
              asio::post(threads, [&] { after.count_down(); });
              after.wait();  // the call has ended, and the loop has not heard of it
              waits.cancel("now");
          }(pool, task))
        .detach();
    loop.run();
    CHECK(result == 7);
    CHECK(reason == "now");
}

TEST_CASE("a call to a pool runs to its end when the task that waits for it was cancelled", "[rt]")
{
    OnePool pool;
    std::atomic<bool> ended{false};
    bool cancelled = false;
    Loop loop;
    auto task = spawn(loop, [](OnePool& one, std::atomic<bool>& end) -> Task<> {
        co_await run_in_executor(one.threads, [&] {
            one.begun.count_down();
            one.may_end.wait();
            end = true;
        });
    }(pool, ended));
    spawn(loop,
          [](OnePool& one, JoinHandle<void>& waits, bool& seen) -> Task<> {
              co_await run_in_executor([&one] { one.begun.wait(); });
              waits.cancel("now");
              try {
                  co_await waits;
              } catch (const Cancelled&) {
                  seen = true;
              }
          }(pool, task, cancelled))
        .detach();
    loop.run();
    CHECK(cancelled);
    CHECK_FALSE(ended);
    pool.may_end.count_down();
    pool.threads.join();
    CHECK(ended);
}

TEST_CASE("a call to the end whose pool is destroyed before it begins throws ExecutorStopped", "[rt]")
{
    std::latch may_end{1};
    std::optional<asio::thread_pool> pool(std::in_place, 1);
    asio::post(*pool, [&] { may_end.wait(); });
    bool stopped = false;
    Loop loop;
    spawn(loop,
          [](asio::thread_pool& threads, bool& seen) -> Task<> {
              try {
                  co_await run_in_executor_to_end(threads, [] {});
              } catch (const ExecutorStopped&) {
                  seen = true;
              }
          }(*pool, stopped))
        .detach();
    std::jthread destroyer;
    loop.post([&] {
        pool->stop();
        destroyer = std::jthread([&] {
            may_end.count_down();
            pool.reset();
        });
    });
    loop.run();
    destroyer.join();
    CHECK(stopped);
}
