// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/write.hpp>
#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

using Socket = asio::local::stream_protocol::socket;

struct Sockets {
    explicit Sockets(Loop& loop) : near(loop.context()), far(loop.context()) { asio::local::connect_pair(near, far); }
    Socket near, far;
};

Task<> sleeper()
{
    co_await sleep_for(1h);
}

Task<> reader(Socket& socket)
{
    std::array<char, 16> data;
    co_await socket.async_read_some(asio::buffer(data), use_task);
}

Task<> quiet_reader(Socket& socket)
{
    std::array<char, 16> data;
    co_await socket.async_read_some(asio::buffer(data), use_task_nothrow);
}

Task<> worker()
{
    co_await run_in_executor([] { std::this_thread::sleep_for(100ms); });
}

Task<> joiner(Loop& loop)
{
    auto inner = spawn(loop, sleeper(), "inner");
    try {
        co_await inner;
    } catch (const Cancelled&) {
        CHECK_FALSE(inner.done());
        inner.cancel("outer");
        throw;
    }
}

Task<> swallower(int& caught)
{
    for (;;) {
        try {
            co_await sleep_for(1h);
        } catch (const Cancelled&) {
            if (++caught == 3) co_return;
        }
    }
}

// Starts `victim`, cancels it once it waits, and gives the reason that its joiner sees; "none" if it ended otherwise.
std::string reason_after_cancel(Loop& loop, Task<> victim, std::string_view reason)
{
    std::string seen = "none";
    spawn(loop, [](Loop& on, Task<> task, std::string_view why, std::string& to) -> Task<> {
        auto handle = spawn(on, std::move(task), "victim");
        co_await sleep_for(1ms);
        handle.cancel(why);
        try {
            co_await handle;
        } catch (const Cancelled& cancelled) {
            to = cancelled.reason();
        }
    }(loop, std::move(victim), reason, seen));
    loop.run();
    return seen;
}

}  // namespace

TEST_CASE("every kind of wait is ended by a cancellation that carries its reason")
{
    Loop loop("test");
    Sockets sockets(loop);
    const auto start = std::chrono::steady_clock::now();
    CHECK(reason_after_cancel(loop, sleeper(), "a sleep") == "a sleep");
    CHECK(reason_after_cancel(loop, reader(sockets.near), "a read") == "a read");
    CHECK(reason_after_cancel(loop, quiet_reader(sockets.near), "a quiet read") == "a quiet read");
    CHECK(reason_after_cancel(loop, joiner(loop), "a join") == "a join");
    CHECK(reason_after_cancel(loop, worker(), "an executor") == "an executor");
    CHECK(std::chrono::steady_clock::now() - start < 90ms);
    CHECK(loop.slot().tasks_cancelled == 6);
    CHECK(loop.slot().tasks == nullptr);
}

TEST_CASE("a caught cancellation lets the task go on, and it is not counted as cancelled")
{
    Loop loop("test");
    int caught = 0;
    spawn(loop, [](Loop& on, int& count) -> Task<> {
        auto handle = spawn(on, swallower(count), "stubborn");
        while (!handle.done()) {
            co_await sleep_for(1ms);
            handle.cancel("again");
        }
        co_await handle;
    }(loop, caught));
    loop.run();
    CHECK(caught == 3);
    CHECK(loop.slot().tasks_cancelled == 0);
    CHECK(loop.slot().tasks_finished == 2);
}

TEST_CASE("a task cancelled before it runs sees it at its first await, one that ended never")
{
    Loop loop("test");
    std::vector<std::string> seen;
    spawn(loop, [](Loop& on, std::vector<std::string>& to) -> Task<> {
        auto early = spawn(on, [](std::vector<std::string>& log) -> Task<> {
            log.push_back("started");
            co_await sleep_for(1h);
            log.push_back("unreachable");
        }(to));
        early.cancel();
        auto late = spawn(on, []() -> Task<> { co_return; }());
        co_await yield();
        co_await yield();
        late.cancel("too late");
        co_await late;
        try {
            co_await early;
        } catch (const Cancelled&) {
            to.push_back("cancelled");
        }
    }(loop, seen));
    loop.run();
    CHECK(seen == std::vector<std::string>{"started", "cancelled"});
}

TEST_CASE("what an operation read before the cancellation came is not lost")
{
    Loop loop("test");
    Sockets sockets(loop);
    std::size_t received = 0;
    bool cancelled = false;
    spawn(loop, [](Loop& on, Sockets& pair, std::size_t& to, bool& at_next) -> Task<> {
        auto handle = spawn(on, [](Socket& socket, std::size_t& n, bool& next) -> Task<> {
            std::array<char, 16> data;
            n = co_await socket.async_read_some(asio::buffer(data), use_task);
            try {
                co_await yield();
            } catch (const Cancelled&) {
                next = true;
                throw;
            }
        }(pair.near, to, at_next));
        co_await yield();
        asio::write(pair.far, asio::buffer("12345", 5));
        on.context().poll();  // the completion stands in the ready queue
        handle.cancel();
        co_await sleep_for(1ms);
    }(loop, sockets, received, cancelled));
    loop.run();
    CHECK(received == 5);
    CHECK(cancelled);
}

TEST_CASE("another thread may cancel, and the record says whom and why")
{
    Loop loop("test");
    auto handle = spawn(loop, sleeper(), "sleeper");
    std::thread canceller([&] {
        std::this_thread::sleep_for(10ms);
        handle.cancel("from outside");
    });
    loop.run();
    canceller.join();
    CHECK(handle.done());
    CHECK(loop.slot().tasks_cancelled == 1);
}

namespace {

// Goes on after the first cancellation, and ends with the second one.
Task<> swallow_one(int& requests)
{
    try {
        co_await sleep_for(1h);
    } catch (const Cancelled&) {
        ++requests;
    }
    try {
        co_await sleep_for(1h);
    } catch (const Cancelled&) {
        ++requests;
        throw;
    }
}

Task<> join_group(Task<> child)
{
    TaskGroup group(*Loop::current());
    group.spawn(std::move(child));
    co_await group.join();
}

Task<> wait_for(std::string how, int& requests)
{
    if (how == "group") co_await join_group(swallow_one(requests));
    if (how == "gather") co_await gather(swallow_one(requests));
    if (how == "when_any") co_await when_any(swallow_one(requests));
    if (how == "with_timeout") co_await with_timeout(1h, swallow_one(requests));
    if (how == "with_stop_token") co_await with_stop_token(std::stop_token(), swallow_one(requests));
}

}  // namespace

TEST_CASE("each cancellation of a waiting task is passed on to the tasks that it waits for")
{
    const std::string how = GENERATE("group", "gather", "when_any", "with_timeout", "with_stop_token");
    CAPTURE(how);
    int requests = 0;
    Loop loop("test");
    spawn(loop, [](std::string how, int& requests) -> Task<> {
        auto waiter = spawn(*Loop::current(), wait_for(how, requests), "waiter");
        co_await sleep_for(1ms);
        waiter.cancel("first");
        co_await sleep_for(1ms);
        CHECK(requests == 1);
        waiter.cancel("second");
        co_await sleep_for(1ms);
        CHECK(requests == 2);
        CHECK(waiter.done());
        Loop::current()->stop();
    }(how, requests));
    loop.run();
}

namespace {

Task<int> swallow(int value)
{
    try {
        co_await sleep_for(1h);
    } catch (const Cancelled&) {
    }
    co_return value;
}

Task<int> result_of(std::string how, Loop& other)
{
    if (how == "with_timeout") co_return co_await with_timeout(1h, swallow(3));
    if (how == "with_stop_token") co_return co_await with_stop_token(std::stop_token(), swallow(3));
    co_return co_await on_loop(other, swallow(3));
}

}  // namespace

TEST_CASE("a result that comes in spite of a cancellation comes first, and Cancelled once at the next await")
{
    const std::string how = GENERATE("with_timeout", "with_stop_token", "on_loop");
    CAPTURE(how);
    Loop other("other");
    const auto stay = spawn(other, sleeper(), "stay");
    std::thread thread([&] { other.run(); });
    int value = 0;
    std::string reason;
    bool delivered_once = false;
    run([](std::string how, Loop& other, int& value, std::string& reason, bool& once) -> Task<> {
        auto waiter = spawn(
            *Loop::current(),
            [](std::string how, Loop& other, int& value, std::string& reason, bool& once) -> Task<> {
                value = co_await result_of(how, other);
                try {
                    co_await yield();
                } catch (const Cancelled& request) {
                    reason = request.reason();
                }
                co_await yield();
                once = true;
            }(how, other, value, reason, once),
            "waiter");
        co_await sleep_for(2ms);
        waiter.cancel("closing");
        co_await waiter;
    }(how, other, value, reason, delivered_once));
    stay.cancel();
    thread.join();
    CHECK(value == 3);
    CHECK(reason == "closing");
    CHECK(delivered_once);
}
