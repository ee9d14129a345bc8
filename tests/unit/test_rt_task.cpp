// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

Task<int> leaf(int x)
{
    co_await yield();
    co_return x;
}

Task<int> sum(int depth)
{
    if (depth == 0) co_return co_await leaf(1);
    const int below = co_await sum(depth - 1);
    co_return below + co_await leaf(depth);
}

Task<> thrower(std::string what)
{
    co_await yield();
    throw std::runtime_error(what);
}

Task<int&> reference(int& value)
{
    co_await yield();
    co_return value;
}

template <class F>
void run(F make)
{
    Loop loop("test");
    auto handle = spawn(loop, make(loop), "main");
    loop.run();
    REQUIRE(handle.done());
}

}  // namespace

TEST_CASE("a chain of tasks adds up through all its suspensions")
{
    int result = 0;
    run([&](Loop&) -> Task<> { return [](int& to) -> Task<> { to = co_await sum(20); }(result); });
    CHECK(result == 211);
}

TEST_CASE("exceptions pass through a chain with their type and text")
{
    std::string caught;
    run([&](Loop&) -> Task<> {
        return [](std::string& to) -> Task<> {
            try {
                co_await thrower("deep down");
            } catch (const std::runtime_error& error) {
                to = error.what();
            }
        }(caught);
    });
    CHECK(caught == "deep down");
}

TEST_CASE("a task may return a reference or something that only moves")
{
    int value = 1;
    run([&](Loop& loop) -> Task<> {
        return [](Loop& on, int& to) -> Task<> {
            co_await reference(to) = 7;
            auto moved = spawn(on, []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(5); }());
            to += *co_await moved;
        }(loop, value);
    });
    CHECK(value == 12);
}

TEST_CASE("joining gives the result, rethrows the exception, and does so once")
{
    std::vector<std::string> seen;
    run([&](Loop& loop) -> Task<> {
        return [](Loop& on, std::vector<std::string>& to) -> Task<> {
            auto good = spawn(on, leaf(3), "good");
            auto bad = spawn(on, thrower("bad"), "bad");
            to.push_back(std::to_string(co_await good));
            try {
                co_await bad;
            } catch (const std::runtime_error& error) {
                to.push_back(error.what());
            }
            try {
                co_await good;
            } catch (const std::logic_error&) {
                to.push_back("taken");
            }
        }(loop, seen);
    });
    CHECK(seen == std::vector<std::string>{"3", "bad", "taken"});
}

TEST_CASE("tasks that would wait for each other are told so instead of hanging")
{
    bool refused = false;
    run([&](Loop& loop) -> Task<> {
        return [](Loop& on, bool& to) -> Task<> {
            struct Pair {
                std::vector<JoinHandle<void>> handles;
            } pair;
            const auto wait_for = [](Pair& both, std::size_t other, bool& deadlock) -> Task<> {
                co_await yield();
                try {
                    co_await both.handles[other];
                } catch (const std::system_error& error) {
                    deadlock = error.code() == std::errc::resource_deadlock_would_occur;
                }
            };
            pair.handles.push_back(spawn(on, wait_for(pair, 1, to), "first"));
            pair.handles.push_back(spawn(on, wait_for(pair, 0, to), "second"));
            while (!pair.handles[0].done() || !pair.handles[1].done()) co_await yield();
        }(loop, refused);
    });
    CHECK(refused);
}

TEST_CASE("a task that nobody joins runs on, and its frame goes with it")
{
    auto token = std::make_shared<int>(0);
    {
        Loop loop("test");
        spawn(loop, [](std::shared_ptr<int> held) -> Task<> {
            co_await sleep_for(1ms);
            ++*held;
        }(token));
        loop.run();
        CHECK(*token == 1);
        CHECK(token.use_count() == 1);
    }
}

TEST_CASE("tasks still alive when their loop is destroyed are destroyed with all they hold")
{
    auto token = std::make_shared<int>(0);
    {
        Loop loop("test");
        const auto hold = [](std::shared_ptr<int>) -> Task<> { co_await sleep_for(1h); };
        spawn(
            loop, [](auto inner, std::shared_ptr<int> held) -> Task<> { co_await inner(held); }(hold, token), "deep");
        spawn(loop, hold(token), "never started");
        loop.post([&] { loop.stop(); });
        loop.run();
        CHECK(token.use_count() > 1);
    }
    CHECK(token.use_count() == 1);
}

TEST_CASE("a handle that is replaced lets its task go, and the one that was moved away is empty")
{
    std::vector<std::string> reported;
    set_exception_handler([&](std::exception_ptr, const Finding& finding) { reported.push_back(finding.text); });
    Loop loop("test");
    spawn(loop, [](Loop& on, std::vector<std::string>& seen) -> Task<> {
        auto one = spawn(on, []() -> Task<int> {
            throw std::runtime_error("of the first");
            co_return 1;
        }());
        auto two = spawn(on, []() -> Task<int> { co_return 2; }());
        co_await sleep_for(1ms);
        one = std::move(two);
        CHECK(seen.size() == 1);
        CHECK_THROWS_AS(two.done(), std::logic_error);
        const int result = co_await one;
        CHECK(result == 2);
    }(loop, reported));
    loop.run();
    set_exception_handler(nullptr);
}

TEST_CASE("a second task that waits for a handle is refused, and so is one of another loop while it is pending")
{
    Loop loop("test"), other("other");
    Event go;
    auto awaited = spawn(loop, [](Event& event) -> Task<int> {
        co_await event.wait();
        co_return 5;
    }(go));
    const auto join = [](JoinHandle<int>& handle, std::string& end) -> Task<> {
        try {
            end = std::to_string(co_await handle);
        } catch (const std::logic_error& error) {
            end = error.what();
        }
    };
    std::string first, second, elsewhere, late;
    spawn(loop, join(awaited, first)).detach();
    spawn(loop, join(awaited, second)).detach();
    spawn(other, join(awaited, elsewhere)).detach();
    other.run();
    loop.post([&] { loop.post([&] { go.set(); }); });
    loop.run();
    CHECK(first == "5");
    CHECK(second == "loopwatch: another task waits for this one already");
    CHECK(elsewhere == "loopwatch: a task can be joined on its own loop only");
    // One that is done may be awaited anywhere.
    auto done = spawn(loop, []() -> Task<int> { co_return 6; }());
    loop.run();
    spawn(other, join(done, late)).detach();
    other.run();
    CHECK(late == "6");
}

TEST_CASE("the end of a loop that never ran releases what its tasks and callbacks hold")
{
    const auto token = std::make_shared<int>(0);
    std::optional<JoinHandle<void>> handle;
    {
        Loop never("never");
        handle.emplace(spawn(never, [](std::shared_ptr<int>) -> Task<> { co_return; }(token)));
        never.post([token] {});
        CHECK(token.use_count() == 3);
    }
    CHECK(token.use_count() == 1);
    CHECK(handle->done());
    bool gone = false;
    Loop loop("test");
    spawn(loop,
          [](JoinHandle<void>& awaited, bool& thrown) -> Task<> {
              try {
                  co_await awaited;
              } catch (const LoopGone&) {
                  thrown = true;
              }
          }(*handle, gone))
        .detach();
    loop.run();
    CHECK(gone);
}
