// SPDX-License-Identifier: Apache-2.0
//
// Channels that are tried, and those without room: a rendezvous.
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

TEST_CASE("what is tried does not wait, and leaves the value where it is")
{
    Channel<std::unique_ptr<int>> channel(1);
    auto value = std::make_unique<int>(1);
    CHECK(channel.try_send(std::move(value)));
    value = std::make_unique<int>(2);
    CHECK_FALSE(channel.try_send(std::move(value)));
    REQUIRE(value);
    CHECK(**channel.try_receive() == 1);
    CHECK_FALSE(channel.try_receive());
    CHECK(channel.try_send(std::move(value)));
    channel.close();
    CHECK_THROWS_AS(channel.try_send(std::make_unique<int>(3)), ChannelClosed);
    CHECK(**channel.try_receive() == 2);
    CHECK_FALSE(channel.try_receive());
}

TEST_CASE("at a rendezvous who sends waits until somebody receives")
{
    run([]() -> Task<> {
        Channel<std::string> channel(0);
        std::vector<std::string> log;
        auto sender =
            spawn(*Loop::current(), [](Channel<std::string>& channel, std::vector<std::string>& log) -> Task<> {
                for (const char* word : {"a", "b"}) {
                    co_await channel.send(word);
                    log.push_back(std::string("sent ") + word);
                }
            }(channel, log));
        co_await yield();
        CHECK(log.empty());
        CHECK(channel.size() == 0);
        CHECK_FALSE(channel.try_send(std::string("c")));
        const auto first = co_await channel.receive();
        CHECK(first == "a");
        co_await yield();
        CHECK(log == std::vector<std::string>{"sent a"});
        CHECK(channel.try_receive() == "b");
        CHECK_FALSE(channel.try_receive());
        co_await sender;
        auto receiver = spawn(*Loop::current(), [](Channel<std::string>& channel) -> Task<std::string> {
            co_return *co_await channel.receive();
        }(channel));
        co_await yield();
        CHECK(channel.try_send(std::string("d")));
        const std::string last = co_await receiver;
        CHECK(last == "d");
    }());
}

TEST_CASE("who waits at a rendezvous is cancelled without a trace, or told that it is closed")
{
    run([]() -> Task<> {
        Channel<int> channel(0);
        auto first =
            spawn(*Loop::current(), [](Channel<int>& channel) -> Task<> { co_await channel.send(1); }(channel));
        auto second =
            spawn(*Loop::current(), [](Channel<int>& channel) -> Task<> { co_await channel.send(2); }(channel));
        co_await yield();
        first.cancel();
        CHECK(channel.try_receive() == 2);
        co_await second;
        auto third =
            spawn(*Loop::current(), [](Channel<int>& channel) -> Task<> { co_await channel.send(3); }(channel));
        co_await yield();
        channel.close();
        bool closed = false;
        try {
            co_await third;
        } catch (const ChannelClosed&) {
            closed = true;
        }
        CHECK(closed);
        const auto nothing = co_await channel.receive();
        CHECK_FALSE(nothing);
    }());
}
