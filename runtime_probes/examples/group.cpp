// SPDX-License-Identifier: Apache-2.0
//
// Tasks that belong together: one that fails ends the others, one that takes too long is given up, an event starts all.
// What several failed with comes together.
#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

Task<std::string> price_of(std::string article, std::chrono::milliseconds takes)
{
    co_await sleep_for(takes);
    co_return article + " costs 7";
}

Task<> ask(Event& opened, std::string article, std::chrono::milliseconds takes)
{
    co_await opened.wait();
    try {
        std::cout << co_await with_timeout(20ms, price_of(article, takes)) << '\n';
    } catch (const TimedOut&) {
        throw std::runtime_error("nobody knows what " + article + " costs");
    }
}

Task<> shop(Loop& loop)
{
    Event opened;
    TaskGroup customers(loop);
    customers.spawn(ask(opened, "bolt", 5ms), "bolt");
    customers.spawn(ask(opened, "unobtainium", 1h), "unobtainium");
    customers.spawn(ask(opened, "nut", 5ms), "nut");
    opened.set();
    try {
        co_await customers.join();
    } catch (const std::runtime_error& error) {
        std::cout << error.what() << '\n';
    }
}

Task<> order(std::string article)
{
    co_await yield();
    throw std::runtime_error("no " + article + " left");
}

Task<> restock()
{
    try {
        co_await gather(order("bolt"), order("nut"));
    } catch (const ExceptionGroup& several) {
        several.each<std::runtime_error>([](const std::runtime_error& error) { std::cout << error.what() << '\n'; });
    }
}

int main()
{
    Loop loop("main");
    spawn(loop, shop(loop), "shop");
    loop.run();
    spawn(loop, restock(), "restock");
    loop.run();
}
