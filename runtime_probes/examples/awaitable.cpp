// SPDX-License-Identifier: Apache-2.0
//
// Code that is written for Asio's own coroutines, awaited from a task: results, exceptions and cancellation pass.
#include <chrono>
#include <iostream>

#include <loopwatch/rt.hpp>
#include <loopwatch/rt/await_asio.hpp>

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

asio::awaitable<int> measure(std::chrono::nanoseconds takes)
{
    asio::steady_timer timer(co_await asio::this_coro::executor, takes);
    co_await timer.async_wait(asio::use_awaitable);
    co_return 42;
}

Task<> program()
{
    std::cout << co_await await_asio(measure(1ms)) << '\n';
    try {
        std::cout << co_await with_timeout(5ms, await_asio(measure(1h))) << '\n';
    } catch (const TimedOut& error) {
        std::cout << error.what() << '\n';
    }
}

int main()
{
    run(program());
}
