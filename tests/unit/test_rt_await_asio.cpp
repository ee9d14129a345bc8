// SPDX-License-Identifier: Apache-2.0
//
// Asio's own coroutines, awaited from a task.
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>
#include <loopwatch/rt/await_asio.hpp>

#include "outcome_of.hpp"

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

asio::awaitable<int> nap(std::chrono::nanoseconds time, std::shared_ptr<int> held)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, time);
    co_await timer.async_wait(asio::use_awaitable);
    CHECK(Loop::current() != nullptr);
    co_return *held;
}

asio::awaitable<void> fail()
{
    asio::steady_timer timer(co_await asio::this_coro::executor, 1ns);
    co_await timer.async_wait(asio::use_awaitable);
    throw std::runtime_error("no more paper");
}

}  // namespace

TEST_CASE("a task awaits an awaitable of Asio, its result and its exception")
{
    run([]() -> Task<> {
        const auto held = std::make_shared<int>(7);
        const int result = co_await await_asio(nap(1ns, held));
        CHECK(result == 7);
        CHECK(held.use_count() == 1);
        const auto ended_with = co_await outcome_of(await_asio(fail()));
        CHECK(ended_with == "no more paper");
    }());
}

TEST_CASE("cancelling the task cancels the awaitable, and its end is awaited")
{
    run([]() -> Task<> {
        const auto held = std::make_shared<int>(7);
        auto waiter = spawn(*Loop::current(), await_asio(nap(1h, held)));
        co_await sleep_for(1ms);
        waiter.cancel("closing");
        const auto ended_with = co_await outcome_of(waiter);
        CHECK(ended_with == "cancelled: closing");
        CHECK(held.use_count() == 1);
    }());
}

TEST_CASE("an awaitable that goes on regardless gives its result first")
{
    run([]() -> Task<> {
        std::string seen;
        auto waiter = spawn(*Loop::current(), [](std::string& seen) -> Task<> {
            const int value = co_await await_asio([]() -> asio::awaitable<int> {
                asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
                try {
                    co_await timer.async_wait(asio::use_awaitable);
                } catch (const std::system_error&) {
                }
                co_return 3;
            }());
            seen = std::to_string(value);
            try {
                co_await yield();
            } catch (const Cancelled& request) {
                seen += request.reason();
            }
        }(seen));
        co_await sleep_for(1ms);
        waiter.cancel(" closing");
        co_await waiter;
        CHECK(seen == "3 closing");
    }());
}

TEST_CASE("a loop may be destroyed while an awaitable waits")
{
    const auto held = std::make_shared<int>(7);
    {
        Loop loop("main");
        spawn(loop, await_asio(nap(1h, held)));
        spawn(loop, [](Loop& loop) -> Task<> {
            co_await sleep_for(1ms);
            loop.stop();
        }(loop));
        loop.run();
    }
    CHECK(held.use_count() == 1);
}

TEST_CASE("an awaitable that fails as it is cancelled throws that first, and Cancelled comes at the next await")
{
    run([]() -> Task<> {
        std::string seen;
        auto waiter = spawn(*Loop::current(), [](std::string& seen) -> Task<> {
            try {
                co_await await_asio([]() -> asio::awaitable<void> {
                    asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
                    bool aborted = false;
                    try {
                        co_await timer.async_wait(asio::use_awaitable);
                    } catch (const std::system_error&) {
                        aborted = true;
                    }
                    if (aborted) throw std::runtime_error("not saved");
                }());
            } catch (const std::runtime_error& error) {
                seen = error.what();
            }
            try {
                co_await yield();
            } catch (const Cancelled& request) {
                seen += request.reason();
            }
        }(seen));
        co_await sleep_for(1ms);
        waiter.cancel(" closing");
        co_await waiter;
        CHECK(seen == "not saved closing");
    }());
}

TEST_CASE("the steps of an awaitable run on the task's loop, outside of dispatches")
{
    bool same_loop = false, in_dispatch = true;
    Loop loop("main");
    spawn(loop, await_asio([](Loop& loop, bool& same_loop, bool& in_dispatch) -> asio::awaitable<void> {
              asio::steady_timer timer(co_await asio::this_coro::executor, 1ns);
              co_await timer.async_wait(asio::use_awaitable);
              same_loop = Loop::current() == &loop;
              in_dispatch = loop.slot().seq % 2 != 0;
          }(loop, same_loop, in_dispatch)))
        .detach();
    loop.run();
    CHECK(same_loop);
    CHECK_FALSE(in_dispatch);
}
