// SPDX-License-Identifier: Apache-2.0
//
// Channels between loops of several threads: order, closing, cancellation, and loops that end.
#include <atomic>
#include <chrono>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

Task<> send_all(SharedChannel<int> channel, int count)
{
    for (int i = 1; i <= count; ++i) co_await channel.send(i);
}

Task<> receive_all(SharedChannel<int> channel, std::vector<int>& received)
{
    while (const auto value = co_await channel.receive()) received.push_back(*value);
}

Task<> receive_one(SharedChannel<int> channel)
{
    co_await channel.receive();
}

}  // namespace

TEST_CASE("values pass from loop to loop in their order, with room and without")
{
    const std::size_t capacity = GENERATE(0, 1, 7);
    SharedChannel<int> channel(capacity, "numbers");
    std::vector<int> received;
    std::jthread receiver([&] { run(receive_all(channel, received)); });
    run(send_all(channel, 500));
    channel.close();
    receiver.join();
    std::vector<int> expected(500);
    std::iota(expected.begin(), expected.end(), 1);
    CHECK(received == expected);
}

TEST_CASE("of two loops that send and two that receive each value arrives once")
{
    SharedChannel<int> channel(3);
    std::vector<int> received[2];
    {
        std::jthread first([&] { run(receive_all(channel, received[0])); });
        std::jthread second([&] { run(receive_all(channel, received[1])); });
        {
            std::jthread other([&] { run(send_all(channel, 300)); });
            run(send_all(channel, 300));
        }
        channel.close();
    }
    CHECK(received[0].size() + received[1].size() == 600);
    const auto sum = [](const std::vector<int>& values) { return std::accumulate(values.begin(), values.end(), 0); };
    CHECK(sum(received[0]) + sum(received[1]) == 300 * 301);
}

TEST_CASE("any thread may try, and close")
{
    SharedChannel<int> channel(1);
    CHECK(channel.try_send(1));
    CHECK_FALSE(channel.try_send(2));
    CHECK(channel.try_receive() == 1);
    CHECK_FALSE(channel.try_receive());
    std::vector<int> received;
    std::jthread receiver([&] { run(receive_all(channel, received)); });
    while (!channel.try_send(3)) std::this_thread::yield();
    channel.close();
    receiver.join();
    CHECK(received == std::vector<int>{3});
    CHECK_THROWS_AS(channel.try_send(4), ChannelClosed);
    CHECK(channel.closed());
}

TEST_CASE("who waits to send to a channel that is closed is told, and who is cancelled has not sent")
{
    SharedChannel<int> channel(0);
    run([](SharedChannel<int> channel) -> Task<> {
        Loop& loop = *Loop::current();
        auto first = spawn(loop, send_all(channel, 1));
        auto second = spawn(loop, send_all(channel, 1));
        auto reader = spawn(loop, receive_one(SharedChannel<int>(1)));
        co_await yield();
        first.cancel("enough");
        reader.cancel("enough");
        co_await yield();
        CHECK(first.done());
        channel.close();
        bool closed = false;
        try {
            co_await second;
        } catch (const ChannelClosed&) {
            closed = true;
        }
        CHECK(closed);
    }(channel));
    CHECK_FALSE(channel.try_receive());
}

TEST_CASE("a value that comes with a cancellation is received, and Cancelled comes at the next await")
{
    run([]() -> Task<> {
        SharedChannel<int> channel(1);
        std::string seen;
        auto reader = spawn(*Loop::current(), [](SharedChannel<int> channel, std::string& seen) -> Task<> {
            seen = std::to_string(*co_await channel.receive());
            try {
                co_await yield();
            } catch (const Cancelled& request) {
                seen += request.reason();
            }
        }(channel, seen));
        co_await yield();
        CHECK(channel.try_send(5));
        reader.cancel(" closing");
        co_await reader;
        CHECK(seen == "5 closing");
    }());
}

TEST_CASE("what was handed to a loop that ends goes to the next")
{
    SharedChannel<int> channel(4);
    {
        std::optional<Loop> loop("doomed");
        for (int i = 0; i < 3; ++i) spawn(*loop, receive_one(channel));
        loop->post([&] { loop->stop(); });
        loop->run();
        for (int i = 1; i <= 3; ++i) CHECK(channel.try_send(i));  // on their way
        CHECK(channel.size() == 0);
        loop.reset();
    }
    std::vector<int> left;
    while (const auto value = channel.try_receive()) left.push_back(*value);
    CHECK(left.size() == 3);
    CHECK(std::accumulate(left.begin(), left.end(), 0) == 6);
}

TEST_CASE("loops that stop and die lose no value")
{
    SharedChannel<int> channel(2);
    std::atomic<int> received{0};
    std::atomic<bool> over{false};
    std::jthread dying([&] {
        while (!over) {
            Loop loop("dying");
            for (int i = 0; i < 3; ++i)
                spawn(loop, [](SharedChannel<int> channel, std::atomic<int>& received) -> Task<> {
                    while (co_await channel.receive()) ++received;
                }(channel, received));
            loop.post([&] { loop.stop(); });
            loop.run();
            loop.run();
        }
    });
    run([](SharedChannel<int> channel, std::atomic<int>& received) -> Task<> {
        auto reader = spawn(*Loop::current(), [](SharedChannel<int> channel, std::atomic<int>& received) -> Task<> {
            while (co_await channel.receive()) ++received;
        }(channel, received));
        co_await send_all(channel, 1000);
        while (received < 1000) co_await sleep_for(1ms);
        channel.close();
        co_await reader;
    }(channel, received));
    over = true;
    dying.join();
    CHECK(received == 1000);
}

TEST_CASE("no task sees the end of a closed channel while a value is on its way to a loop that may not take it")
{
    SharedChannel<int> channel(1);
    std::optional<Loop> loop("doomed");
    bool received = false, ended = false;
    spawn(*loop,
          [](SharedChannel<int> channel, bool& received, bool& ended) -> Task<> {
              const auto value = co_await channel.receive();
              received = value.has_value();
              ended = true;
          }(channel, received, ended))
        .detach();
    loop->post([&] { loop->stop(); });
    loop->run();
    CHECK(channel.try_send(1));  // on its way
    channel.close();
    std::vector<int> elsewhere;
    run(receive_all(channel, elsewhere));
    CHECK(elsewhere == std::vector<int>{1});
    SECTION("and the loop is destroyed")
    {
        loop.reset();
        CHECK_FALSE(ended);
    }
    SECTION("and the loop runs on")
    {
        loop->run();
        CHECK(ended);
        CHECK_FALSE(received);
    }
    CHECK_FALSE(channel.try_receive());
}

TEST_CASE("values that were handed to a loop that ends are received in the order in which they were sent")
{
    SharedChannel<int> channel(4);
    {
        std::optional<Loop> loop("doomed");
        for (int i = 0; i < 3; ++i) spawn(*loop, receive_one(channel));
        loop->post([&] { loop->stop(); });
        loop->run();
        for (int i = 1; i <= 3; ++i) CHECK(channel.try_send(i));  // on their way
        CHECK(channel.try_send(4));
        loop.reset();
    }
    std::vector<int> left;
    while (const auto value = channel.try_receive()) left.push_back(*value);
    CHECK(left == std::vector<int>{1, 2, 3, 4});
}

TEST_CASE("closing a channel gives no value to a task whose loop may not run any more")
{
    SharedChannel<int> channel(1);
    std::vector<int> received;
    Loop live("live");
    std::optional<Loop> stopped("stopped");
    spawn(live, receive_all(channel, received)).detach();
    spawn(*stopped, receive_one(channel)).detach();
    for (Loop* const loop : {&live, &*stopped}) {
        loop->post([loop] { loop->stop(); });
        loop->run();
    }
    CHECK(channel.try_send(1));  // on its way to the first task that waits
    channel.close();
    stopped.reset();
    live.run();
    CHECK(received == std::vector<int>{1});
}

TEST_CASE("a task that waits at a channel when it is closed takes what is on its way to a loop that does not run")
{
    SharedChannel<int> channel(1);
    std::vector<int> received;
    Loop stopped("stopped"), live("live");
    spawn(stopped, receive_one(channel)).detach();
    spawn(live, receive_all(channel, received)).detach();
    for (Loop* const loop : {&stopped, &live}) {
        loop->post([loop] { loop->stop(); });
        loop->run();
    }
    CHECK(channel.try_send(1));  // on its way to the first task that waits
    channel.close();
    live.run();
    CHECK(received == std::vector<int>{1});
}
