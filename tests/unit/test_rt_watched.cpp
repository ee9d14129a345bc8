// SPDX-License-Identifier: Apache-2.0
//
// What a loop publishes while somebody watches. The tests raise the semaphore as the kernel does when a session
// attaches.
#include <chrono>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <loopwatch/rt.hpp>

#include "attached.hpp"

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

Task<> block(std::chrono::nanoseconds duration)
{
    co_await yield();
    std::this_thread::sleep_for(duration);
    co_await yield();
}

Task<> bystander(int turns)
{
    for (int i = 0; i < turns; ++i) co_await yield();
}

std::uint64_t sum(const lw_u32 (&histogram)[LW_HISTOGRAM_BUCKETS])
{
    return std::accumulate(std::begin(histogram), std::end(histogram), std::uint64_t{0});
}

struct Impact {
    std::uint64_t seq = 0, tasks = 0, max_ns = 0, total_ns = 0;
};

// The impact as the probe's handler would read it: kept from the first dispatch after it.
Task<> copy_impact(Loop& loop, Impact& to)
{
    while (loop.slot().impact_seq == 0) co_await yield();
    to = {loop.slot().impact_seq, loop.slot().impact_tasks, loop.slot().impact_max_ns, loop.slot().impact_total_ns};
}

}  // namespace

TEST_CASE("a blocked dispatch delays exactly those who were ready")
{
    Session session;
    Loop loop("test");
    Impact impact;
    loop.set_floor(10ms);
    spawn(loop, block(20ms), "blocker");
    spawn(loop, bystander(4), "first");
    spawn(loop, bystander(4), "second");
    spawn(loop, copy_impact(loop, impact), "third");
    loop.run();
    CHECK(impact.seq % 2 == 1);
    CHECK(impact.tasks == 3);
    CHECK(impact.max_ns >= 20'000'000);
    CHECK(impact.max_ns < 60'000'000);
    CHECK(impact.total_ns == 3 * impact.max_ns);
}

TEST_CASE("a timer that expired in mid-dispatch waited from its expiry on")
{
    Session session;
    Loop loop("test");
    Impact impact;
    loop.set_floor(10ms);
    spawn(
        loop,
        [](Loop& on, Impact& to) -> Task<> {
            co_await sleep_for(15ms);
            to = {on.slot().impact_seq, on.slot().impact_tasks, on.slot().impact_max_ns, on.slot().impact_total_ns};
        }(loop, impact),
        "timer");
    spawn(loop, block(40ms), "blocker");
    loop.run();
    CHECK(impact.tasks == 1);
    CHECK(impact.max_ns > 15'000'000);
    CHECK(impact.max_ns < 39'000'000);
    CHECK(sum(loop.slot().lag_histogram) == 1);
}

TEST_CASE("who is woken by the dispatch itself did not wait for it")
{
    Session session;
    Loop loop("test");
    loop.set_floor(10ms);
    spawn(
        loop,
        [](Loop& on) -> Task<> {
            auto blocker = spawn(on, block(20ms), "blocker");
            co_await blocker;
        }(loop),
        "joiner");
    loop.run();
    CHECK(loop.slot().impact_seq != 0);
    CHECK(loop.slot().impact_tasks == 0);
}

TEST_CASE("a task whose operation has ended by the end of its dispatch did not wait for itself")
{
    Session session;
    Loop loop("test");
    loop.set_floor(10ms);
    spawn(
        loop,
        [](Loop& on) -> Task<> {
            std::this_thread::sleep_for(20ms);
            co_await asio::post(on.context(), use_task);
        }(loop),
        "blocker");
    loop.run();
    CHECK(loop.slot().impact_seq != 0);
    CHECK(loop.slot().impact_tasks == 0);
}

TEST_CASE("neither idling nor many short dispatches are a slow one")
{
    Session session;
    Loop loop("test");
    loop.set_floor(100ms);
    spawn(loop, [](Loop&) -> Task<> { co_await sleep_for(300ms); }(loop));
    spawn(loop, bystander(100'000));
    loop.run();
    CHECK(loop.slot().impact_seq == 0);
    CHECK(loop.slot().iterations > 0);
    const double idle_ns =
        double(loop.slot().idle_ticks) * (loop.slot().clock == LW_CLOCK_TSC
                                              ? double(loop.slot().clock_mult) / double(1ull << loop.slot().clock_shift)
                                              : 1.0);
    CHECK(idle_ns > 100e6);
    CHECK(idle_ns < 400e6);
}

TEST_CASE("each watched dispatch is counted once, an unwatched one not at all")
{
    Loop loop("test");
    loop.post([] {});
    loop.run();
    CHECK(loop.slot().seq == 2);
    CHECK(sum(loop.slot().dispatch_histogram) == 0);
    Session session;
    for (int i = 0; i < 997; ++i) loop.post([] {});
    loop.run();
    CHECK(loop.slot().seq == 2 * 998);
    CHECK(sum(loop.slot().dispatch_histogram) == 997);
    CHECK(loop.slot().busy_ticks >= loop.slot().max_ticks);
}

TEST_CASE("in a dispatch the slot tells its task, its start, its resume point and how many wait behind it")
{
    Session session;
    Loop loop("test");
    const lw_loop_slot& slot = loop.slot();
    const unsigned line = __LINE__ + 4;
    auto handle = spawn(
        loop,
        [](const lw_loop_slot& published, unsigned await_line) -> Task<> {
            co_await yield();
            CHECK(published.seq % 2 == 1);
            CHECK(published.start != 0);
            CHECK(published.task == published.tasks);
            CHECK(published.task->state == LW_TASK_RUNNING);
            REQUIRE(published.resume != nullptr);
            CHECK(published.resume->line == await_line);
            CHECK(published.queued - (published.seq + 1) / 2 == 2);  // wait behind it
        }(slot, line),
        "observer");
    loop.post([&] {
        CHECK(slot.task == nullptr);
        CHECK(slot.seq % 2 == 1);
        loop.post([] {});
        loop.post([] {});
    });
    loop.run();
    CHECK(slot.resume == nullptr);  // of the last dispatch, a callback's
    CHECK(slot.start == 0);
    CHECK(slot.task == nullptr);
    CHECK(slot.tasks == nullptr);
    CHECK(slot.tasks_created == 1);
    CHECK(handle.done());
}

TEST_CASE("the clock becomes the TSC and is right within 50 ppm")
{
    lw_loop_slot slot{};
    LoopClock clock(slot);
    std::this_thread::sleep_for(1ms);
    clock.maintain(clock.ticks());
    std::this_thread::sleep_for(60ms);
    clock.maintain(clock.ticks());
    if (slot.clock != LW_CLOCK_TSC) {
        WARN("the kernel does not trust this machine's TSC: CLOCK_MONOTONIC stays");
        CHECK(clock.moment_ns(123) == 123);
        return;
    }
    // Both clocks at one instant. Whoever is preempted between two reads takes them at two: the closest of 64 tries.
    struct Instant {
        lw_u64 ticks, ns;
    };
    const auto instant = [&] {
        Instant best{};
        lw_u64 least = ~0ull;
        for (int i = 0; i < 64; ++i) {
            const lw_u64 before = LoopClock::monotonic_ns();
            const lw_u64 ticks = clock.ticks();
            const lw_u64 gap = LoopClock::monotonic_ns() - before;
            if (gap >= least) continue;
            least = gap;
            best = {ticks, before + gap / 2};
        }
        return best;
    };
    const Instant first = instant();
    std::this_thread::sleep_for(500ms);
    const Instant last = instant();
    const auto lasted = double(last.ns - first.ns);
    const auto moved = [&](const Instant& at) { return double(clock.moment_ns(at.ticks)) - double(at.ns); };
    CHECK(std::abs(double(clock.to_ns(last.ticks - first.ticks)) - lasted) < 50e-6 * lasted);
    CHECK(std::abs(moved(last) - moved(first)) < 50e-6 * lasted);
    CHECK(std::abs(double(clock.to_ns(clock.to_ticks(1'000'000'000))) - 1e9) < 10);
}

TEST_CASE("a loop counts in one unit from its first dispatch on")
{
    Session session;
    Loop loop("test");
    std::this_thread::sleep_for(20ms);  // long enough for a first rate: the unit is there before the first count
    spawn(loop, [](Loop& on) -> Task<> {
        const auto clock = on.slot().clock;
        for (int i = 0; i < 12; ++i) {
            CHECK(on.slot().clock == clock);
            std::this_thread::sleep_for(5ms);
            co_await sleep_for(2ms);
        }
    }(loop));
    loop.run();
    const lw_loop_slot& slot = loop.slot();
    const double ns_per_tick =
        slot.clock == LW_CLOCK_TSC ? double(slot.clock_mult) / double(1ull << slot.clock_shift) : 1;
    CHECK(sum(slot.dispatch_histogram) == 13);
    CHECK(double(slot.busy_ticks) * ns_per_tick > 60e6);
    CHECK(double(slot.busy_ticks) * ns_per_tick < 120e6);
    CHECK(double(slot.max_ticks) * ns_per_tick < 40e6);
}

TEST_CASE("the floor is 100 us, LOOPWATCH_FLOOR's, or what the program sets; nonsense is ignored")
{
    CHECK(Loop().slot().floor_ns == 100'000);
    for (const auto& [text, expected] : std::vector<std::pair<const char*, lw_u64>>{{"50us", 50'000},
                                                                                    {"1ms", 1'000'000},
                                                                                    {"1.5ms", 1'500'000},
                                                                                    {"2s", 2'000'000'000},
                                                                                    {"10", 100'000},
                                                                                    {"fast", 100'000},
                                                                                    {"-5ms", 100'000},
                                                                                    {"0ms", 100'000},
                                                                                    {"", 100'000},
                                                                                    {"50 us", 100'000}}) {
        setenv("LOOPWATCH_FLOOR", text, 1);
        CAPTURE(text);
        CHECK(Loop().slot().floor_ns == expected);
    }
    unsetenv("LOOPWATCH_FLOOR");
    Loop loop;
    loop.set_floor(3ms);
    CHECK(loop.slot().floor_ns == 3'000'000);
}

TEST_CASE("a running loop stands in the registry; a forked child has none until it runs one, and counts nothing before")
{
    Session session;
    Loop loop("parent");
    int status = -1;
    CHECK(loopwatch_registry.loops == nullptr);
    loop.post([&] {
        CHECK(loopwatch_registry.loops == &loop.slot());
        const pid_t child = fork();
        if (child == 0) {
            static int failures = loopwatch_registry.loops != nullptr;
            loop.post([&loop, counted = sum(loop.slot().dispatch_histogram)] {
                failures += sum(loop.slot().dispatch_histogram) != counted ? 2 : 0;
            });
            loop.post([] {
                Loop second("child");
                second.post([&] { failures += loopwatch_registry.loops != &second.slot() ? 4 : 0; });
                second.run();
                _exit(failures);
            });
            return;
        }
        waitpid(child, &status, 0);
    });
    loop.run();
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(loopwatch_registry.loops == nullptr);
}
