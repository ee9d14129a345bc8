// SPDX-License-Identifier: Apache-2.0
//
// A channel between two loops, each with a thread of its own.
#include <iostream>
#include <thread>

#include <loopwatch/rt.hpp>

using namespace loopwatch;

Task<> build(SharedChannel<int> parts)
{
    for (int part = 1; part <= 5; ++part) co_await parts.send(part);  // waits while two are on the way
    parts.close();
}

Task<> pack(SharedChannel<int> parts)
{
    while (const auto part = co_await parts.receive()) std::cout << "packed " << *part << '\n';
}

int main()
{
    SharedChannel<int> parts(2, "parts");
    std::jthread builder([parts] { run(build(parts)); });
    run(pack(parts));
}
