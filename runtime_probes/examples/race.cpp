// SPDX-License-Identifier: Apache-2.0
//
// Who is first: the quicker of two answers counts and the other one is cancelled; what has begun to be saved is
// shielded from that; and std::jthread ends it all from another thread.
#include <chrono>
#include <iostream>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

Task<std::string> ask(std::string who, std::chrono::nanoseconds takes)
{
    try {
        co_await sleep_for(takes);
        co_return who;
    } catch (const Cancelled& request) {
        std::cout << who << ": " << request.reason() << '\n';
        throw;
    }
}

Task<> save(std::string line)
{
    co_await sleep_for(5ms);
    std::cout << "saved " << line << '\n';
}

Task<> answer()
{
    const auto first = co_await when_any(ask("primary", 1h), ask("replica", 1ms));
    std::cout << "answered by " << std::visit([](const std::string& who) { return who; }, first) << '\n';
    auto saving = spawn(*Loop::current(), shield(save("the answer")), "saving");
    co_await yield();
    co_await yield();
    saving.cancel("too late");  // ends the wait, not the work
    co_await sleep_for(20ms);
}

Task<> serve(std::stop_token stop)
{
    co_await answer();
    try {
        co_await with_stop_token(stop, ask("server", 1h));
    } catch (const Cancelled&) {
        std::cout << "stopped\n";
    }
}

int main()
{
    std::jthread server([](std::stop_token stop) { run(serve(std::move(stop))); });
    std::this_thread::sleep_for(50ms);
    server.request_stop();
}
