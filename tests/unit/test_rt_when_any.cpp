// SPDX-License-Identifier: Apache-2.0
//
// The first of several tasks: what becomes of its result, and of the others.
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

#include "outcome_of.hpp"

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

Task<int> answer(std::chrono::nanoseconds after, int value)
{
    co_await sleep_for(after);
    co_return value;
}

Task<std::string> hang(int& ended)
{
    struct End {
        int& ended;
        ~End() { ++ended; }
    } end{ended};
    try {
        co_await sleep_for(1h);
    } catch (const Cancelled&) {
    }
    co_await sleep_for(1ms);  // its clean-up
    throw Cancelled("it was asked to");
}

Task<int> fail_after(std::chrono::nanoseconds time)
{
    co_await sleep_for(time);
    throw std::runtime_error("no answer");
}

}  // namespace

TEST_CASE("the first result is given, and the others have ended by then")
{
    run([]() -> Task<> {
        int ended = 0;
        const auto first = co_await when_any(hang(ended), answer(1ms, 7), hang(ended));
        CHECK(first.index() == 1);
        CHECK(std::get<1>(first) == 7);
        CHECK(ended == 2);
    }());
}

TEST_CASE("of many tasks of one type the first says which it is")
{
    run([]() -> Task<> {
        std::vector<Task<std::unique_ptr<int>>> tasks;
        for (int i = 0; i < 5; ++i)
            tasks.push_back([](int i) -> Task<std::unique_ptr<int>> {
                co_await sleep_for(i == 3 ? 0ns : 1h);
                co_return std::make_unique<int>(i);
            }(i));
        const auto first = co_await when_any(std::move(tasks));
        CHECK(first.index == 3);
        CHECK(*first.value == 3);
        bool refused = false;
        try {
            co_await when_any(std::vector<Task<>>());
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        CHECK(refused);
    }());
}

TEST_CASE("a task that fails first is the first, and what another one throws later is reported")
{
    std::vector<std::string> reported;
    set_exception_handler([&](std::exception_ptr, const Finding& finding) { reported.push_back(finding.text); });
    run([]() -> Task<> {
        int ended = 0;
        std::string seen;
        try {
            co_await when_any(fail_after(1ms), hang(ended), [](int& ended) -> Task<> {
                try {
                    co_await sleep_for(1h);
                } catch (const Cancelled&) {
                }
                ++ended;
                throw std::runtime_error("data not saved");
            }(ended));
        } catch (const std::runtime_error& error) {
            seen = error.what();
        }
        CHECK(seen == "no answer");
        CHECK(ended == 2);
    }());
    set_exception_handler(nullptr);
    REQUIRE(reported.size() == 1);
    CHECK_THAT(reported[0], Catch::EndsWith("data not saved"));
}

TEST_CASE("cancelling who waits for the first cancels all, which are awaited")
{
    run([]() -> Task<> {
        int ended = 0;
        auto waiter =
            spawn(*Loop::current(), [](int& ended) -> Task<> { co_await when_any(hang(ended), hang(ended)); }(ended));
        co_await sleep_for(1ms);
        waiter.cancel("closing");
        const auto ended_with = co_await outcome_of(waiter);
        CHECK(ended_with == "cancelled: closing");
        CHECK(ended == 2);
    }());
}

TEST_CASE("a result that comes with a cancellation comes first")
{
    run([]() -> Task<> {
        std::string seen;
        auto waiter = spawn(*Loop::current(), [](std::string& seen) -> Task<> {
            const auto first = co_await when_any(
                []() -> Task<int> {
                    try {
                        co_await sleep_for(1h);
                    } catch (const Cancelled&) {
                    }
                    co_return 3;
                }(),
                answer(1h, 4));
            seen = std::to_string(std::get<0>(first));
            try {
                co_await yield();
            } catch (const Cancelled& request) {
                seen += request.reason();
            }
            co_await yield();  // once only
            seen += ".";
        }(seen));
        co_await sleep_for(1ms);
        waiter.cancel(" closing");
        co_await waiter;
        CHECK(seen == "3 closing.");
    }());
}
