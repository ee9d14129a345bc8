// SPDX-License-Identifier: Apache-2.0
//
// Orders on their way: a channel hands them on and holds up who is too fast, a mutex lets one task at the printer at a
// time, gather waits for all, and each task's label says whose order it works on.
#include <chrono>
#include <iostream>
#include <string>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

Task<> print(Mutex& printer, std::string order)
{
    const MutexLock lock = co_await printer.lock();
    co_await sleep_for(1ms);  // it is slow, and nobody else may begin meanwhile
    std::cout << order << '\n';
}

Task<> pack(Channel<std::string>& orders, Mutex& printer)
{
    while (const auto order = co_await orders.receive()) {
        label("order", *order);
        co_await print(printer, *order);
    }
}

Task<> take(Channel<std::string>& orders)
{
    for (const char* article : {"bolt", "nut", "washer", "screw"}) co_await orders.send(article);
    orders.close();
}

Task<> shop()
{
    Channel<std::string> orders(2, "orders");
    Mutex printer("printer");
    co_await gather(take(orders), pack(orders, printer), pack(orders, printer));
}

int main()
{
    run(shop());
}
