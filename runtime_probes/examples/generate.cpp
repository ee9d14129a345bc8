// SPDX-License-Identifier: Apache-2.0
//
// Pages one by one from an asynchronous generator; a semaphore lets two downloads in at a time, and a channel without
// room hands each page from hand to hand.
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

AsyncGenerator<std::string> links(int pages)
{
    for (int page = 1; page <= pages; ++page) {
        co_await sleep_for(1ms);  // the index is read piece by piece
        co_yield "page " + std::to_string(page);
    }
}

Task<> download(Semaphore& connections, Channel<std::string>& pages, std::string link)
{
    {
        const Permit connection = co_await connections.acquire();
        co_await sleep_for(2ms);
    }
    co_await pages.send(link);
}

Task<> print(Channel<std::string>& pages)
{
    while (const auto page = co_await pages.receive()) std::cout << *page << '\n';
}

Task<> crawl()
{
    Semaphore connections(2, "connections");
    Channel<std::string> pages(0, "pages");  // a rendezvous
    auto printer = spawn(*Loop::current(), print(pages), "printer");
    TaskGroup downloads(*Loop::current());
    auto all = links(5);
    while (auto link = co_await all.next()) downloads.spawn(download(connections, pages, std::move(*link)), "download");
    co_await downloads.join();
    if (!pages.try_send(std::string("the end"))) std::cout << "no task receives\n";
    pages.close();
    co_await printer;
}

int main()
{
    run(crawl());
}
