// SPDX-License-Identifier: Apache-2.0
//
// Tasks: two workers side by side on one loop, a result, and work that blocks where it does no harm.
#include <chrono>
#include <iostream>
#include <thread>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

Task<int> square(int x)
{
    co_await sleep_for(10ms);
    co_return x* x;
}

Task<> worker(Loop& loop)
{
    auto first = spawn(loop, square(3), "first");
    auto second = spawn(loop, square(4), "second");
    std::cout << "sum: " << co_await first + co_await second << '\n';

    const int answer = co_await run_in_executor([] {
        std::this_thread::sleep_for(20ms);  // blocks a thread of the pool, not the loop
        return 42;
    });
    std::cout << "answer: " << answer << '\n';
}

int main()
{
    Loop loop("main");
    spawn(loop, worker(loop), "worker");
    loop.run();
}
