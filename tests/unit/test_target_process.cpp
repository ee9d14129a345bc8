// SPDX-License-Identifier: Apache-2.0
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "target/process.hpp"

using namespace loopwatch;

TEST_CASE("the modules of a process are its files, and the code of the clock that the kernel maps")
{
    const auto self = Process::open(::getpid());
    REQUIRE(self);
    const auto modules = self->modules();
    REQUIRE(modules);
    const auto vdso = std::ranges::find(*modules, "[vdso]", &ModuleMapping::path);
    REQUIRE(vdso != modules->end());
    CHECK_FALSE(vdso->file);
    CHECK(std::ranges::all_of(*modules, [](const auto& module) { return module.file || module.path == "[vdso]"; }));
}

TEST_CASE("a process that has ended can be named until it is waited for")
{
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    REQUIRE(child > 0);
    siginfo_t ended = {};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT) == 0);
    CHECK(Process::open(child).error().code == ExitCode::no_such_target);
    {
        const auto process = Process::identify(child);
        REQUIRE(process);
        CHECK(process->comm() == Process::open(::getpid())->comm());
        CHECK_FALSE(process->alive());
    }
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    CHECK_FALSE(Process::identify(child));
}
