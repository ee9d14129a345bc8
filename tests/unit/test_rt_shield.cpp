// SPDX-License-Identifier: Apache-2.0
//
// Work that a cancellation of who waits for it does not reach.
#include <chrono>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

Task<int> save(std::shared_ptr<int> saved, std::chrono::nanoseconds takes)
{
    co_await sleep_for(takes);
    co_return ++*saved;
}

}  // namespace

TEST_CASE("shielded work gives its result, and its exception")
{
    run([]() -> Task<> {
        const auto saved = std::make_shared<int>(0);
        const int result = co_await shield(save(saved, 1ns));
        CHECK(result == 1);
        std::string seen;
        try {
            co_await shield([]() -> Task<> {
                co_await yield();
                throw std::runtime_error("disk full");
            }());
        } catch (const std::runtime_error& error) {
            seen = error.what();
        }
        CHECK(seen == "disk full");
    }());
}

TEST_CASE("cancelling who waits ends the wait at once, and not the shielded work")
{
    run([]() -> Task<> {
        Event disk, saved;
        auto waiter = spawn(*Loop::current(), shield([](Event& disk, Event& saved) -> Task<> {
            co_await disk.wait();
            saved.set();
        }(disk, saved)));
        for (int i = 0; i < 3; ++i) co_await yield();
        waiter.cancel("closing");
        bool cancelled = false;
        try {
            co_await waiter;
        } catch (const Cancelled& request) {
            cancelled = request.reason() == "closing";
        }
        CHECK(cancelled);
        CHECK_FALSE(saved.is_set());
        disk.set();
        co_await with_timeout(10s, [](Event& saved) -> Task<> { co_await saved.wait(); }(saved));
    }());
}

TEST_CASE("the end of run() ends shielded work too")
{
    const auto saved = std::make_shared<int>(0);
    run([](std::shared_ptr<int> saved) -> Task<> {
        spawn(*Loop::current(), shield(save(std::move(saved), 1h)));
        co_await yield();
        co_await yield();
    }(saved));
    CHECK(*saved == 0);
    CHECK(saved.use_count() == 1);
}

TEST_CASE("what shielded work throws when its waiter was cancelled is reported once")
{
    std::vector<std::string> reported;
    set_exception_handler([&](std::exception_ptr, const Finding& finding) { reported.push_back(finding.text); });
    run([]() -> Task<> {
        Event disk;
        auto waiter = spawn(*Loop::current(), shield([](Event& disk) -> Task<> {
            co_await disk.wait();
            throw std::runtime_error("disk full");
        }(disk)));
        for (int i = 0; i < 3; ++i) co_await yield();
        waiter.cancel("closing");
        bool cancelled = false;
        try {
            co_await waiter;
        } catch (const Cancelled&) {
            cancelled = true;
        }
        CHECK(cancelled);
        disk.set();
        for (int i = 0; i < 3; ++i) co_await yield();
    }());
    set_exception_handler(nullptr);
    REQUIRE(reported.size() == 1);
    CHECK_THAT(reported[0], Catch::Contains("shield#") && Catch::Contains("disk full"));
}

TEST_CASE("shielded work that was cancelled itself throws Cancelled to its waiter")
{
    std::string reason;
    run([](std::string& reason) -> Task<> {
        try {
            co_await shield([]() -> Task<> {
                co_await yield();
                throw Cancelled("its own");
            }());
        } catch (const Cancelled& thrown) {
            reason = thrown.reason();
        }
    }(reason));
    CHECK(reason == "its own");
}
