// SPDX-License-Identifier: Apache-2.0
//
// Two loops, a thread each: work is handed from one to the other, and its result back.
#include <iostream>
#include <thread>

#include <loopwatch/rt.hpp>

using namespace loopwatch;

Task<int> stock_of(int article)
{
    co_await yield();  // on the other loop's thread
    co_return article * 10;
}

Task<> ask(Loop& store, Event& closing)
{
    for (int article = 1; article <= 3; ++article)
        std::cout << article << ": " << co_await on_loop(store, stock_of(article)) << '\n';
    store.post([&closing] { closing.set(); });
}

Task<> stay_open(Event& closing)
{
    co_await closing.wait();
}

int main()
{
    Event closing("closing");
    Loop store("store");
    spawn(store, stay_open(closing), "stay_open");
    std::thread thread([&store] { store.run(); });
    run(ask(store, closing));
    thread.join();
}
