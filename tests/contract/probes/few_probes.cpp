// SPDX-License-Identifier: Apache-2.0
//
// Fires two probes only: what a linker that collects garbage must leave is these two, not notes of sites that are gone.
#include <loopwatch/probe.hpp>

int main(int argc, char**)
{
    loopwatch::probe::slow_dispatch(argc, argc, argc, argc, argc);
    loopwatch::probe::task_start(argc);
}
