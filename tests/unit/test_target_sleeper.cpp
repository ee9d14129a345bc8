// SPDX-License-Identifier: Apache-2.0
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "target/sleeper.hpp"

using namespace loopwatch;

TEST_CASE("a sleeping thread tells its system call, arguments, stack and code")
{
    const auto sleeper = parse_sleeper("230 0x0 0x0 0x7ffd1 0x2 0x3 0x4 0x7ffd0100 0x7f5512\n");
    REQUIRE(sleeper);
    CHECK(sleeper->syscall == 230);
    CHECK(sleeper->args[2] == 0x7ffd1);
    CHECK(sleeper->args[5] == 4);
    CHECK(sleeper->sp == 0x7ffd0100);
    CHECK(sleeper->pc == 0x7f5512);
}

TEST_CASE("a thread in a page fault is in no system call")
{
    const auto sleeper = parse_sleeper("-1 0x7ffd0100 0x7f5512\n");
    REQUIRE(sleeper);
    CHECK(sleeper->syscall == -1);
    CHECK(sleeper->sp == 0x7ffd0100);
}

TEST_CASE("a running thread, and what no kernel writes, is no sleeper")
{
    for (const auto* text :
         {"running\n", "", "230", "230 0x0\n", "230 0 0 0 0 0 0 0x1 0x2\n", "-1 0x1 0x2 0x3\n",
          "230 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0xfffffffffffffffff\n", "230 0x0 0x0 0x0 0x0 0x0 0x0 0x1 0x\n"}) {
        INFO(text);
        CHECK_FALSE(parse_sleeper(text));
    }
}

TEST_CASE("a thread that waits for us is found asleep in read")
{
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    std::atomic<std::uint32_t> tid{0};
    std::thread thread([&] {
        tid = static_cast<std::uint32_t>(::gettid());
        char byte;
        (void)!::read(pipe[0], &byte, 1);
    });
    std::optional<Sleeper> found;
    for (int i = 0; i < 2000 && !(found && found->syscall == SYS_read); ++i) {
        if (tid) found = sleeper(::getpid(), tid);
        ::usleep(1000);
    }
    (void)!::write(pipe[1], "", 1);
    thread.join();
    if (!found) {
        WARN("/proc/PID/task/TID/syscall cannot be read here");
        return;
    }
    CHECK(found->syscall == SYS_read);
    CHECK(found->args[0] == static_cast<std::uint64_t>(pipe[0]));
}
