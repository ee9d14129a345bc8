// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

// Before the runtime: many sort their headers so.
#include <asio/ip/tcp.hpp>

#include <loopwatch/rt.hpp>

namespace {

loopwatch::Task<> greet()
{
    co_await loopwatch::sleep_for(std::chrono::milliseconds(1));
    std::puts("rt: greeted");
}

}  // namespace

int main()
{
    loopwatch::Loop loop("main");
    loopwatch::spawn(loop, greet(), "greet");
    loop.run();
}
