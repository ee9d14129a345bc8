// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "util/fd.hpp"
#include "util/reactor.hpp"
#include "util/wall_clock.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t soon_ns = 5'000'000'000;

struct Pipe {
    Pipe()
    {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
        out = Fd(ends[0]);
        in = Fd(ends[1]);
    }
    void fill() { REQUIRE(::write(in.raw(), "x", 1) == 1); }
    void empty()
    {
        char byte;
        REQUIRE(::read(out.raw(), &byte, 1) == 1);
    }
    Fd out, in;
};

}  // namespace

TEST_CASE("what is ready runs once in a wait, again and again until it is read")
{
    Reactor reactor;
    Pipe pipe;
    int ran = 0;
    const auto watch = reactor.watch(pipe.out.raw(), Reactor::Ready::readable, [&] { ++ran; });
    REQUIRE(watch);
    reactor.wait_until(0);
    CHECK(ran == 0);
    pipe.fill();
    for (int wait = 1; wait <= 3; ++wait) {
        reactor.wait_until(monotonic_ns() + soon_ns);
        CHECK(ran == wait);
    }
    pipe.empty();
    reactor.wait_until(0);
    CHECK(ran == 3);
}

TEST_CASE("a moment that has passed: what is ready runs all the same")
{
    Reactor reactor;
    Pipe first, second;
    int ran = 0;
    const auto one = reactor.watch(first.out.raw(), Reactor::Ready::readable, [&] { ++ran; });
    const auto other = reactor.watch(second.out.raw(), Reactor::Ready::readable, [&] { ++ran; });
    first.fill();
    second.fill();
    reactor.wait_until(0);
    CHECK(ran == 2);
}

TEST_CASE("where nothing is ready it waits until the moment has come")
{
    Reactor reactor;
    const auto until = monotonic_ns() + 20'000'000;
    reactor.wait_until(until);
    CHECK(monotonic_ns() >= until);
}

TEST_CASE("a watch that ends in what it runs, or before, runs no more; its descriptor stays open")
{
    Reactor reactor;
    Pipe pipe;
    pipe.fill();
    int ran = 0;
    Reactor::Watch watch;
    auto begun = reactor.watch(pipe.out.raw(), Reactor::Ready::readable, [&] {
        ++ran;
        watch = {};
    });
    watch = std::move(*begun);
    reactor.wait_until(0);
    reactor.wait_until(0);
    CHECK(ran == 1);
    {
        const auto never = reactor.watch(pipe.out.raw(), Reactor::Ready::readable, [&] { ++ran; });
    }
    reactor.wait_until(0);
    CHECK(ran == 1);
    pipe.empty();
    const auto again = reactor.watch(pipe.out.raw(), Reactor::Ready::readable, [&] { ++ran; });
    pipe.fill();
    reactor.wait_until(monotonic_ns() + soon_ns);
    CHECK(ran == 2);
}

TEST_CASE("a watch may end those of others that are ready too")
{
    Reactor reactor;
    Pipe first, second;
    int ran = 0;
    Reactor::Watch one, other;
    auto a = reactor.watch(first.out.raw(), Reactor::Ready::readable, [&] {
        ++ran;
        other = {};
    });
    auto b = reactor.watch(second.out.raw(), Reactor::Ready::readable, [&] {
        ++ran;
        one = {};
    });
    one = std::move(*a);
    other = std::move(*b);
    first.fill();
    second.fill();
    reactor.wait_until(monotonic_ns() + soon_ns);
    CHECK(ran == 1);
}

TEST_CASE("room to write is waited for")
{
    Reactor reactor;
    Pipe pipe;
    while (::write(pipe.in.raw(), "0123456789abcdef", 16) > 0) {
    }
    int ran = 0;
    const auto watch = reactor.watch(pipe.in.raw(), Reactor::Ready::writable, [&] { ++ran; });
    reactor.wait_until(0);
    CHECK(ran == 0);
    char taken[1 << 16];
    REQUIRE(::read(pipe.out.raw(), taken, sizeof taken) > 0);
    reactor.wait_until(monotonic_ns() + soon_ns);
    CHECK(ran == 1);
}

TEST_CASE("a file that is always ready is refused")
{
    Reactor reactor;
    const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    CHECK_FALSE(reactor.watch(file.raw(), Reactor::Ready::readable, [] {}));
}

TEST_CASE("a descriptor that is waited for blocks others that share it as before")
{
    Reactor reactor;
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const Fd out(ends[0]), in(ends[1]);
    const auto watch = reactor.watch(in.raw(), Reactor::Ready::writable, [] {});
    reactor.wait_until(0);
    CHECK((::fcntl(in.raw(), F_GETFL) & O_NONBLOCK) == 0);
}
