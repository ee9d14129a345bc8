// SPDX-License-Identifier: Apache-2.0
//
// Asynchronous generators: values one by one, waiting between them, and every way in which they end.
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

#include "outcome_of.hpp"

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

AsyncGenerator<int> count_to(int last)
{
    for (int i = 1; i <= last; ++i) {
        co_await yield();
        co_yield i;
    }
}

AsyncGenerator<std::unique_ptr<int>> doubled(AsyncGenerator<int> numbers)
{
    while (const auto number = co_await numbers.next()) co_yield std::make_unique<int>(2 * *number);
}

AsyncGenerator<int> fail_after_one(std::shared_ptr<int> held)
{
    co_yield *held;
    throw std::runtime_error("no more paper");
}

AsyncGenerator<int> wait_for_ever(std::shared_ptr<int> held)
{
    co_yield *held;
    co_await sleep_for(1h);
}

}  // namespace

TEST_CASE("a generator gives its values one by one, through another one too")
{
    run([]() -> Task<> {
        std::vector<int> seen;
        auto numbers = doubled(count_to(3));
        while (const auto number = co_await numbers.next()) seen.push_back(**number);
        CHECK(seen == std::vector<int>{2, 4, 6});
        const auto after = co_await numbers.next();
        CHECK_FALSE(after);
    }());
}

TEST_CASE("an exception ends a generator, and what it holds goes with the generator")
{
    run([]() -> Task<> {
        const auto held = std::make_shared<int>(5);
        {
            auto numbers = fail_after_one(held);
            const auto first = co_await numbers.next();
            CHECK(first == 5);
            std::string seen;
            try {
                co_await numbers.next();
            } catch (const std::runtime_error& error) {
                seen = error.what();
            }
            CHECK(seen == "no more paper");
            const auto after = co_await numbers.next();
            CHECK_FALSE(after);
        }
        CHECK(held.use_count() == 1);
        {
            auto numbers = wait_for_ever(held);
            co_await numbers.next();
        }
        CHECK(held.use_count() == 1);
        static_cast<void>(wait_for_ever(held));  // never begun
        CHECK(held.use_count() == 1);
    }());
}

TEST_CASE("a cancellation reaches what the generator waits for, and ends it")
{
    run([]() -> Task<> {
        const auto held = std::make_shared<int>(5);
        auto numbers = wait_for_ever(held);
        auto reader = spawn(*Loop::current(), [](AsyncGenerator<int>& numbers) -> Task<> {
            while (co_await numbers.next()) {
            }
        }(numbers));
        co_await yield();
        bool refused = false;
        try {
            co_await numbers.next();
        } catch (const std::logic_error&) {
            refused = true;
        }
        CHECK(refused);
        reader.cancel("closing");
        const auto ended_with = co_await outcome_of(reader);
        CHECK(ended_with == "cancelled: closing");
        const auto after = co_await numbers.next();
        CHECK_FALSE(after);
        const auto moved = std::move(numbers);
        refused = false;
        try {
            co_await numbers.next();
        } catch (const std::logic_error&) {
            refused = true;
        }
        CHECK(refused);
    }());
}

TEST_CASE("the chain of a task leads through the generator that it waits for", "[probes]")
{
    run([]() -> Task<> {
        Loop& loop = *Loop::current();
        auto reader = spawn(loop, [](std::shared_ptr<int> held) -> Task<> {
            auto numbers = wait_for_ever(held);
            while (co_await numbers.next()) {
            }
        }(std::make_shared<int>(1)));
        co_await yield();
        const auto tasks = all_tasks(loop);
        REQUIRE(tasks.front().id == reader.id());
        REQUIRE(tasks.front().stack.size() == 2);
        CHECK_THAT(tasks.front().stack[0], Catch::Contains("wait_for_ever"));
        reader.cancel();
    }());
}

TEST_CASE("a loop may be destroyed while a generator waits")
{
    const auto held = std::make_shared<int>(5);
    {
        Loop loop("main");
        spawn(loop, [](AsyncGenerator<int> numbers) -> Task<> {
            while (co_await numbers.next()) {
            }
        }(wait_for_ever(held)));
        loop.post([&] { loop.stop(); });
        loop.run();
    }
    CHECK(held.use_count() == 1);
}
