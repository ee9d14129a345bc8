// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include <loopwatch/join.hpp>

int main()
{
    loopwatch::LoopProbes probes("main");
    probes.start();
    loopwatch::TaskProbes task(probes, "greet", LW_HERE);
    probes.begin(&task);
    std::puts("probes: greeted");
    task.finished(LW_OUTCOME_RESULT);
    probes.end();
    probes.stop();
}
