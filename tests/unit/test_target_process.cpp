// SPDX-License-Identifier: Apache-2.0
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
