// SPDX-License-Identifier: Apache-2.0
//
// std::stop_token and tasks: the request comes from any thread, before, while and after the task runs.
#include <atomic>
#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

// g++ 12 under AddressSanitizer: std::stop_source gives itself, not yet initialized, to a constructor that ignores it.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace {

Task<int> sleep_then(std::chrono::nanoseconds time, int value)
{
    co_await sleep_for(time);
    co_return value;
}

Task<std::string> end_of(std::stop_token token, std::chrono::nanoseconds time)
{
    try {
        co_return std::to_string(co_await with_stop_token(std::move(token), sleep_then(time, 7)));
    } catch (const Cancelled& request) {
        co_return request.reason();
    }
}

}  // namespace

TEST_CASE("a stop that another thread requests cancels the task")
{
    std::stop_source source;
    std::jthread stopper([&] {
        std::this_thread::sleep_for(1ms);
        source.request_stop();
    });
    CHECK(run(end_of(source.get_token(), 1h)) == "a stop was requested");
}

TEST_CASE("a stop that was requested before, by the loop's own thread, or never")
{
    std::stop_source before, within, never;
    before.request_stop();
    CHECK(run(end_of(before.get_token(), 1h)) == "a stop was requested");
    CHECK(run([](std::stop_source source) -> Task<std::string> {
              auto task = spawn(*Loop::current(), end_of(source.get_token(), 1h));
              co_await yield();
              co_await yield();
              source.request_stop();
              co_return co_await task;
          }(within)) == "a stop was requested");
    CHECK(run(end_of(never.get_token(), 1ns)) == "7");
    CHECK(run(end_of(std::stop_token(), 1ns)) == "7");
    never.request_stop();  // its loop is gone
}

TEST_CASE("cancelling who waits for it is another reason")
{
    CHECK(run([]() -> Task<std::string> {
              std::stop_source source;
              auto task = spawn(*Loop::current(), end_of(source.get_token(), 1h));
              co_await sleep_for(1ms);
              task.cancel("closing");
              co_return co_await task;
          }()) == "closing");
}

TEST_CASE("a stop that races with the end of its task does no harm")
{
    std::atomic<std::stop_source*> current{nullptr};
    std::atomic<bool> over{false};
    std::jthread stopper([&] {
        while (!over)
            if (std::stop_source* const source = current.exchange(nullptr)) {
                source->request_stop();
                delete source;
            }
    });
    int results = 0, stops = 0;
    for (int round = 0; round < 20; ++round)
        run([](std::atomic<std::stop_source*>& current, int& results, int& stops) -> Task<> {
            for (int i = 0; i < 20; ++i) {
                auto source = std::make_unique<std::stop_source>();
                auto token = source->get_token();
                delete current.exchange(source.release());
                const std::string end = co_await end_of(std::move(token), i % 2 == 0 ? 0ns : 20us);
                ++(end == "7" ? results : stops);
            }
        }(current, results, stops));
    over = true;
    stopper.join();
    delete current.load();
    CHECK(results + stops == 400);
}

TEST_CASE("a stop while its loop is destroyed leaves nothing behind")
{
    const auto held = std::make_shared<int>(0);
    std::stop_source source;
    {
        Loop loop("main");
        spawn(loop, with_stop_token(source.get_token(),
                                    [](std::shared_ptr<int>) -> Task<> { co_await sleep_for(1h); }(held)));
        loop.post([&] { loop.post([&] { loop.stop(); }); });
        loop.run();
        std::jthread([&] { source.request_stop(); });
    }
    CHECK(held.use_count() == 1);
}
