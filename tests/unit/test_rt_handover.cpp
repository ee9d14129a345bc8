// SPDX-License-Identifier: Apache-2.0
//
// What tasks hand to each other: locks, values, results, work on another loop, labels; and that cancellation passes
// through all of them.
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

// Runs one task on a loop of its own, to its end.
template <class F>
void run(F body)
{
    Loop loop("main");
    spawn(loop, body(loop), "body");
    loop.run();
}

// A loop on a thread of its own, until the end of its scope.
class OtherLoop {
public:
    OtherLoop()
    {
        spawn(
            loop, [](Event& until) -> Task<> { co_await until.wait(); }(stop_), "stay");
        thread_ = std::thread([this] { loop.run(); });
    }
    ~OtherLoop()
    {
        if (!thread_.joinable()) return;
        loop.post([this] { stop_.set(); });
        thread_.join();
    }
    void end_at_once()
    {
        loop.stop();
        thread_.join();
    }
    Loop loop{"other"};

private:
    Event stop_;
    std::thread thread_;
};

Task<> hold(Mutex& mutex, std::chrono::nanoseconds time, std::string name, Log& log)
{
    try {
        const MutexLock lock = co_await mutex.lock();
        log.push_back(name);
        co_await sleep_for(time);
    } catch (const Cancelled& request) {
        log.push_back(name + " cancelled: " + request.reason());
        throw;
    }
}

Task<int> number_after(std::chrono::nanoseconds time, int number)
{
    co_await sleep_for(time);
    co_return number;
}

Task<int> fail_after(std::chrono::nanoseconds time)
{
    co_await sleep_for(time);
    throw std::runtime_error("no more paper");
}

}  // namespace

TEST_CASE("a mutex is held by one task at a time, in the order in which they came")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        Mutex mutex;
        TaskGroup group(loop);
        for (const char* name : {"first", "second", "third"}) group.spawn(hold(mutex, 1ms, name, log), name);
        co_await sleep_for(0ms);
        CHECK(log == Log{"first"});
        CHECK(mutex.locked());
        co_await group.join();
        CHECK_FALSE(mutex.locked());
        const MutexLock again = co_await mutex.lock();
    });
    CHECK(log == Log{"first", "second", "third"});
}

TEST_CASE("a task cancelled while it waits for a lock gives up its turn, one that was handed the lock gives it on")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        Mutex mutex;
        std::optional<MutexLock> lock(co_await mutex.lock());
        auto second = spawn(loop, hold(mutex, 0ms, "second", log), "second");
        auto third = spawn(loop, hold(mutex, 1h, "third", log), "third");
        auto fourth = spawn(loop, hold(mutex, 0ms, "fourth", log), "fourth");
        co_await sleep_for(0ms);
        second.cancel("too slow");
        lock.reset();  // the third has it, and has not gone on yet
        third.cancel("too late");
        co_await fourth;
        CHECK_FALSE(mutex.locked());
    });
    CHECK(log == Log{"second cancelled: too slow", "third", "third cancelled: too late", "fourth"});
}

TEST_CASE("a lock that its holder asks for again is refused, and so is one of two tasks that hold each other up")
{
    run([](Loop& loop) -> Task<> {
        Mutex a, b;
        {
            const MutexLock lock = co_await a.lock();
            try {
                const MutexLock again = co_await a.lock();
                FAIL("locked twice");
            } catch (const std::system_error& error) {
                CHECK(error.code() == std::errc::resource_deadlock_would_occur);
            }
        }
        int refused = 0;
        const auto lock_both = [&refused](Mutex& first, Mutex& second) -> Task<> {
            const MutexLock one = co_await first.lock();
            co_await sleep_for(1ms);
            try {
                const MutexLock two = co_await second.lock();
            } catch (const std::system_error&) {
                ++refused;
            }
        };
        TaskGroup group(loop);
        group.spawn(lock_both(a, b), "ab");
        group.spawn(lock_both(b, a), "ba");
        co_await group.join();
        CHECK(refused == 1);
        CHECK_FALSE(a.locked());
        CHECK_FALSE(b.locked());
    });
}

TEST_CASE("a loop may end while tasks wait for a lock, one of which was handed it")
{
    auto mutex = std::make_unique<Mutex>();
    Log log;
    {
        Loop loop("main");
        spawn(loop, hold(*mutex, 1h, "holder", log), "holder");
        spawn(loop, hold(*mutex, 1h, "waiter", log), "waiter");
        loop.post([&loop] { loop.stop(); });
        loop.run();
    }
    CHECK(log == Log{"holder"});
    CHECK_FALSE(mutex->locked());
}

TEST_CASE("a loop may end while tasks wait for several locks of one holder")
{
    auto first = std::make_unique<Mutex>(), second = std::make_unique<Mutex>();
    Log log;
    {
        Loop loop("main");
        for (auto* mutex : {first.get(), second.get()})
            for (const char* name : {"holder", "waiter", "another"}) spawn(loop, hold(*mutex, 1h, name, log), name);
        loop.post([&loop] { loop.stop(); });
        loop.run();
    }
    CHECK(log == Log{"holder", "holder"});
    CHECK_FALSE(first->locked());
    CHECK_FALSE(second->locked());
}

TEST_CASE("a channel hands values on in order and holds up who sends too many")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        Channel<int> channel(2);
        const auto produce = [&]() -> Task<> {
            for (int i = 0; i < 5; ++i) {
                co_await channel.send(i);
                log.push_back("sent " + std::to_string(i));
            }
            channel.close();
        };
        spawn(loop, produce(), "produce");
        co_await sleep_for(0ms);
        CHECK(log == Log{"sent 0", "sent 1"});
        int expected = 0;
        while (const auto value = co_await channel.receive()) CHECK(*value == expected++);
        CHECK(expected == 5);
        CHECK_THROWS_AS(co_await channel.send(6), ChannelClosed);
    });
    CHECK(log.size() == 5);
}

TEST_CASE("who waits for a channel goes on when it is closed, and is cancelled without losing a value")
{
    run([](Loop& loop) -> Task<> {
        Channel<std::string> channel(1);
        auto waiting = spawn(
            loop, [](auto& c) -> Task<bool> { co_return !(co_await c.receive()); }(channel), "waiting");
        auto given_up = spawn(
            loop, [](auto& c) -> Task<> { co_await c.receive(); }(channel), "given up");
        co_await sleep_for(0ms);
        given_up.cancel();
        co_await sleep_for(0ms);
        co_await channel.send("a");  // the first one's
        CHECK_FALSE(co_await waiting);
        co_await channel.send("b");
        auto full = spawn(
            loop, [](auto& c) -> Task<> { co_await c.send("c"); }(channel), "full");
        auto late = spawn(
            loop, [](auto& c) -> Task<> { co_await c.send("d"); }(channel), "late");
        co_await sleep_for(0ms);
        full.cancel();
        co_await sleep_for(0ms);
        // Not within CHECK: g++ 12 takes the co_await out of the branch of it that is never taken, and awaits twice.
        const auto before = co_await channel.receive();
        CHECK(*before == "b");
        const auto after = co_await channel.receive();
        CHECK(*after == "d");
        auto at_the_end = spawn(
            loop, [](auto& c) -> Task<bool> { co_return !(co_await c.receive()); }(channel), "end");
        co_await sleep_for(0ms);
        channel.close();
        CHECK(co_await at_the_end);
        co_await late;
    });
}

TEST_CASE("gather gives all results, in order, or the first failure when all have ended")
{
    run([](Loop&) -> Task<> {
        const auto [one, two] = co_await gather(number_after(2ms, 1), number_after(1ms, 2));
        CHECK(one == 1);
        CHECK(two == 2);
        std::vector<Task<int>> tasks;
        for (int i = 0; i < 20; ++i) tasks.push_back(number_after((20 - i) * 100us, i));
        const std::vector<int> all = co_await gather(std::move(tasks));
        for (int i = 0; i < 20; ++i) CHECK(all[static_cast<std::size_t>(i)] == i);
        CHECK((co_await gather(std::vector<Task<int>>())).empty());
        CHECK_THROWS_WITH(co_await gather(number_after(1h, 1), fail_after(1ms)), "no more paper");
    });
}

TEST_CASE("cancelling who gathers cancels all, and waits for them")
{
    Log log;
    run([&log](Loop& loop) -> Task<> {
        Mutex free;
        auto both = spawn(
            loop,
            [](Mutex& m, Log& l) -> Task<> { co_await gather(hold(m, 1h, "a", l), number_after(1h, 1)); }(free, log),
            "both");
        co_await sleep_for(1ms);
        both.cancel("enough");
        CHECK_THROWS_AS(co_await both, Cancelled);
        CHECK(log == Log{"a", "a cancelled: enough"});
    });
}

TEST_CASE("work on another loop runs on its thread and brings back its result or its exception")
{
    OtherLoop other;
    run([&other](Loop& loop) -> Task<> {
        const auto where = []() -> Task<std::thread::id> {
            co_await sleep_for(0ms);
            co_return std::this_thread::get_id();
        };
        const auto there = co_await on_loop(other.loop, where());
        CHECK(there != std::this_thread::get_id());
        CHECK(Loop::current() == &loop);
        CHECK_THROWS_WITH(co_await on_loop(other.loop, fail_after(1ms)), "no more paper");
    });
}

TEST_CASE("cancelling who waits for another loop cancels the work there; a loop that ends is told")
{
    OtherLoop other;
    run([&other](Loop& loop) -> Task<> {
        auto waiting = spawn(
            loop, [](Loop& o) -> Task<> { co_await on_loop(o, number_after(1h, 1)); }(other.loop), "waiting");
        co_await sleep_for(1ms);
        waiting.cancel("enough");
        try {
            co_await waiting;
            FAIL("not cancelled");
        } catch (const Cancelled& request) {
            CHECK(request.reason() == "enough");
        }
    });
    auto ends = std::make_unique<OtherLoop>();
    run([&ends](Loop& loop) -> Task<> {
        auto waiting = spawn(
            loop, [](Loop& o) -> Task<int> { co_return co_await on_loop(o, number_after(1h, 1)); }(ends->loop),
            "waiting");
        co_await sleep_for(1ms);
        ends->end_at_once();
        ends.reset();
        CHECK_THROWS_AS(co_await waiting, LoopGone);
    });
}

TEST_CASE("a label belongs to its task and to those that the task spawns later", "[probes]")
{
    run([](Loop& loop) -> Task<> {
        const auto labels = [] {
            const char* text = detail::running_task()->record().labels;
            return std::string(text == nullptr ? "" : text);
        };
        std::string of_child, of_elder;
        auto elder = spawn(
            loop,
            [](auto& l, auto& to) -> Task<> {
                to = l();
                co_return;
            }(labels, of_elder),
            "elder");
        CHECK(labels().empty());
        label("request", "17");
        label("bad=key\n", "two\nlines");
        label("request", "18");
        CHECK(labels() == "bad-key =two lines\nrequest=18\n");
        auto child = spawn(
            loop,
            [](auto& l, auto& to) -> Task<> {
                label("step", "2");
                to = l();
                co_return;
            }(labels, of_child),
            "child");
        co_await child;
        co_await elder;
        CHECK(of_child == "bad-key =two lines\nrequest=18\nstep=2\n");
        CHECK(of_elder.empty());
        CHECK(labels() == "bad-key =two lines\nrequest=18\n");
    });
    label("nobody", "listens");
}

namespace {

template <class T>
Task<> on_a_loop(Loop& loop, Task<T> work)
{
    co_await on_loop(loop, std::move(work));
}

}  // namespace

TEST_CASE("each cancellation of a task that waits for another loop is passed on to the work there")
{
    OtherLoop other;
    std::atomic<int> requests{0};
    run([&](Loop& loop) -> Task<> {
        auto waiter = spawn(loop,
                            on_a_loop(other.loop,
                                      [](std::atomic<int>& requests) -> Task<> {
                                          while (requests < 2) {
                                              try {
                                                  co_await sleep_for(1h);
                                              } catch (const Cancelled&) {
                                                  ++requests;
                                              }
                                          }
                                      }(requests)),
                            "waiter");
        co_await sleep_for(1ms);
        waiter.cancel("first");
        while (requests < 1) co_await sleep_for(1ms);
        co_await sleep_for(1ms);  // it waits again
        waiter.cancel("second");
        for (int i = 0; i < 1000 && requests < 2; ++i) co_await sleep_for(1ms);
        CHECK(requests == 2);
        if (requests < 2) loop.stop();
    });
}

namespace {

Task<int> finish_anyway(int value)
{
    try {
        co_await sleep_for(1h);
    } catch (const Cancelled&) {
    }
    co_return value;
}

Task<> gather_and_yield(bool as_vector, int& sum, std::string& reason)
{
    if (as_vector) {
        std::vector<Task<int>> tasks;
        for (int i = 1; i <= 2; ++i) tasks.push_back(finish_anyway(i));
        const auto all = co_await gather(std::move(tasks));
        sum = all[0] + all[1];
    } else {
        const auto [one, two] = co_await gather(finish_anyway(1), finish_anyway(2));
        sum = one + two;
    }
    try {
        co_await yield();
    } catch (const Cancelled& request) {
        reason = request.reason();
    }
    co_await yield();
}

}  // namespace

TEST_CASE("results that are gathered in spite of a cancellation come first, and Cancelled at the next await")
{
    const bool as_vector = GENERATE(false, true);
    int sum = 0;
    std::string reason;
    run([&](Loop& loop) -> Task<> {
        auto waiter = spawn(loop, gather_and_yield(as_vector, sum, reason), "waiter");
        co_await sleep_for(1ms);
        waiter.cancel("closing");
        co_await waiter;
    });
    CHECK(sum == 3);
    CHECK(reason == "closing");
}

TEST_CASE("gather throws Cancelled if one task was cancelled, when the others have run to their end")
{
    Log log;
    run([&log](Loop&) -> Task<> {
        bool ended = false;
        try {
            co_await gather(
                [](bool& ended) -> Task<int> {
                    co_await sleep_for(1ms);
                    ended = true;
                    co_return 1;
                }(ended),
                []() -> Task<int> {
                    co_await yield();
                    throw Cancelled("its own");
                }());
        } catch (const Cancelled& thrown) {
            log.push_back(thrown.reason());
        }
        CHECK(ended);
    });
    CHECK(log == Log{"a gathered task was cancelled"});
}

TEST_CASE("an exception of work on another loop is reported if the task that waited for it was destroyed")
{
    std::vector<std::string> reported;
    set_exception_handler([&](std::exception_ptr, const Finding& finding) { reported.push_back(finding.text); });
    std::atomic<bool> fails{false};
    {
        OtherLoop other;
        {
            Loop home("home");
            spawn(home, on_a_loop(other.loop,
                                  [](std::atomic<bool>& fails) -> Task<> {
                                      while (!fails) co_await sleep_for(1ms);
                                      throw std::runtime_error("not saved");
                                  }(fails)))
                .detach();
            spawn(home,
                  [](Loop& loop) -> Task<> {
                      co_await sleep_for(1ms);
                      loop.stop();
                  }(home))
                .detach();
            home.run();
        }
        fails = true;
    }
    REQUIRE(reported.size() == 1);
    CHECK_THAT(reported[0], Catch::Contains("on_loop#") && Catch::Contains("not saved"));
    reported.clear();
    SECTION("what the waiting task receives is not")
    {
        OtherLoop other;
        run([&](Loop&) -> Task<> {
            CHECK_THROWS_AS(co_await on_loop(other.loop, fail_after(0ns)), std::runtime_error);
        });
        CHECK(reported.empty());
    }
    SECTION("nor that a loop has ended which no task waits for")
    {
        auto other = std::make_unique<Loop>("other");
        {
            Loop home("home");
            spawn(home, on_a_loop(*other, []() -> Task<> { co_await sleep_for(1h); }())).detach();
            home.post([&] { home.post([&] { home.stop(); }); });
            home.run();
        }
        other.reset();
        CHECK(reported.empty());
    }
    set_exception_handler(nullptr);
}

TEST_CASE("a lock that is replaced is released at once")
{
    run([](Loop&) -> Task<> {
        Mutex a, b;
        MutexLock one = co_await a.lock();
        MutexLock two = co_await b.lock();
        one = std::move(two);
        CHECK_FALSE(a.locked());
        CHECK(b.locked());
    });
}
