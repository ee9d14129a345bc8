// SPDX-License-Identifier: Apache-2.0
#include "target/task_state.hpp"

#include <loopwatch/loop_state.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "target/tasks.hpp"

using namespace loopwatch;

TEST_CASE("numbers of a target's records that mean nothing are unknown")
{
    CHECK(task_state(4) == TaskState::finished);
    CHECK(task_state(5) == TaskState::unknown);
    CHECK(task_state(~0u) == TaskState::unknown);
    CHECK(awaited_kind(7) == AwaitedKind::semaphore);
    CHECK(awaited_kind(8) == AwaitedKind::other);
    CHECK(task_outcome(3) == TaskOutcome::swallowed);
    CHECK(task_outcome(4) == TaskOutcome::unknown);
    CHECK(task_outcome((1ull << 32) + 1) == TaskOutcome::unknown);
}

TEST_CASE("a backtrace has as many addresses as it has room for, whatever it says")
{
    lw_backtrace raw = {};
    for (std::size_t i = 0; i < LW_STACK_DEPTH; ++i) raw.address[i] = 1'000 + i;
    const Memory memory(::getpid());
    const auto read = [&] { return read_backtrace(reinterpret_cast<std::uint64_t>(&raw), memory); };
    CHECK(read().empty());
    raw.count = 2;
    CHECK(read() == std::vector<std::uint64_t>{1'000, 1'001});
    raw.count = ~0ull;
    CHECK(read().size() == LW_STACK_DEPTH);
    CHECK(read_backtrace(8, memory).empty());
}
