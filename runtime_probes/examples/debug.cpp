// SPDX-License-Identifier: Apache-2.0
//
// Debug mode: what goes wrong is told within the process, to the application's own log.
#include <chrono>
#include <iostream>
#include <stdexcept>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

Task<> fail()
{
    co_await yield();
    throw std::runtime_error("no more paper");
}

Task<> shop()
{
    spawn(*Loop::current(), fail(), "print");  // its exception is retrieved by nobody
    Event never("never");
    auto stuck = spawn(
        *Loop::current(), [](Event& event) -> Task<> { co_await event.wait(); }(never), "stuck");
    co_await sleep_for(1ms);
    for (const TaskSnapshot& task : all_tasks()) std::cout << task.name << " is " << task.state << '\n';
    print_stack(stuck.id(), stdout);
    stuck.cancel("closing");
    co_await sleep_for(1ms);
}

int main()
{
    set_finding_handler([](const Finding& finding) { std::cout << finding.type << ": " << finding.text << '\n'; });
    run(shop(), {.debug = true});
}
