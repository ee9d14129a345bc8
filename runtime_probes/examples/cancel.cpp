// SPDX-License-Identifier: Apache-2.0
//
// Cancellation: the task sees an exception at the co_await it stands at, cleans up, and passes it on.
#include <chrono>
#include <iostream>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

Task<> heartbeat()
{
    try {
        for (;;) {
            std::cout << "beat\n";
            co_await sleep_for(20ms);
        }
    } catch (const Cancelled& request) {
        std::cout << "stopping: " << request.reason() << '\n';
        throw;
    }
}

Task<> supervisor(Loop& loop)
{
    auto beat = spawn(loop, heartbeat(), "heartbeat");
    co_await sleep_for(50ms);
    beat.cancel("maintenance");
    try {
        co_await beat;
    } catch (const Cancelled&) {
        std::cout << "stopped\n";
    }
}

int main()
{
    Loop loop("main");
    spawn(loop, supervisor(loop), "supervisor");
    loop.run();
}
