// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "analysis/task_scheduler.hpp"

using namespace loopwatch;

namespace {

Frame frame(const char* function, const char* module)
{
    Frame frame;
    frame.function = function;
    frame.module = module;
    return frame;
}

const std::set<std::string> go_modules = {"/srv/plugin.so"};

}  // namespace

TEST_CASE("a wait that Go's code makes is its scheduler's, with and without symbols")
{
    CHECK(scheduler_of({frame("runtime.futex", "/srv/plugin.so"), frame("runtime.mcall", "/srv/plugin.so")},
                       go_modules) == "Go");
    CHECK(scheduler_of({frame("", "/srv/plugin.so")}, go_modules) == "Go");
    CHECK_FALSE(scheduler_of({frame("epoll_wait", "/srv/server")}, go_modules));
    CHECK_FALSE(scheduler_of({}, go_modules));
}

TEST_CASE("a loop in C that a Go program runs is a loop")
{
    CHECK_FALSE(scheduler_of({frame("epoll_wait", "/lib/libc.so.6"), frame("uv_run", "/lib/libuv.so.1"),
                              frame("runtime.asmcgocall", "/srv/plugin.so")},
                             go_modules));
}

TEST_CASE("Erlang's scheduler is known by what the emulator exports")
{
    CHECK(scheduler_of({frame("syscall", "/lib/libc.so.6"), frame("ethr_event_twait", "/usr/lib/beam.smp"),
                        frame("", "/usr/lib/beam.smp"), frame("erts_schedule", "/usr/lib/beam.smp")},
                       go_modules) == "Erlang");
    CHECK_FALSE(scheduler_of({frame("epoll_wait", "/lib/libc.so.6"), frame("driver_loop", "/srv/nif.so")}, go_modules));
}
