// SPDX-License-Identifier: Apache-2.0
//
// Debug mode within the process: handlers, the list of tasks and their stacks.
#include <chrono>
#include <cstdio>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <asio/ip/udp.hpp>
#include <asio/post.hpp>
#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

#include "outcome_of.hpp"

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

// The handlers are the process's: each case puts them back.
class Told {
public:
    Told()
    {
        set_finding_handler([this](const Finding& finding) { findings.push_back(finding); });
    }
    ~Told()
    {
        set_debug(false);
        set_finding_handler(nullptr);
        set_exception_handler(nullptr);
        set_slow_callback_duration(100ms);
    }
    std::vector<std::string> types() const
    {
        std::vector<std::string> types;
        for (const Finding& finding : findings) types.emplace_back(finding.type);
        return types;
    }
    std::vector<Finding> findings;
};

Task<> wait_on(Event& event)
{
    co_await event.wait();
}

Task<> outer(Event& event)
{
    co_await wait_on(event);
}

Task<> fail()
{
    co_await yield();
    throw std::runtime_error("no more paper");
}

void burn(std::chrono::nanoseconds time)
{
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
    }
}

std::string text_of(std::FILE* file)
{
    std::string text;
    std::rewind(file);
    for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
    return text;
}

}  // namespace

TEST_CASE("a finding handler is told of slow callbacks in debug mode, and of nothing without")
{
    Told told;
    set_slow_callback_duration(5ms);
    const auto burns = []() -> Task<int> {
        co_await yield();
        burn(10ms);
        co_return 3;
    };
    CHECK(run(burns()) == 3);
    CHECK(told.findings.empty());
    CHECK(run(burns(), {.debug = true}) == 3);
    REQUIRE(told.types() == std::vector<std::string>{"slow_callback"});
    CHECK(told.findings[0].text.find("Executing main#") == 0);
    CHECK(told.findings[0].text.find("test_rt_debug.cpp") != std::string::npos);
}

TEST_CASE("an exception handler gets the exception itself, also without debug mode")
{
    Told told;
    std::string what;
    set_exception_handler([&what](std::exception_ptr error, const Finding& finding) {
        CHECK(finding.task != 0);
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& thrown) {
            what = thrown.what();
        }
    });
    run([]() -> Task<> {
        spawn(*Loop::current(), fail(), "print");
        co_await sleep_for(0ms);
    }());
    CHECK(what == "no more paper");
    CHECK(told.findings.empty());
}

TEST_CASE("in debug mode what is used up and used again is a finding, which names the task")
{
    Told told;
    const auto reuse = []() -> Task<> {
        Task<> once = fail();
        try {
            co_await std::move(once);
        } catch (const std::runtime_error&) {
        }
        co_await std::move(once);
    };
    CHECK_THROWS_AS(run(reuse()), std::logic_error);
    CHECK(told.findings.empty());
    set_debug(true);
    CHECK_THROWS_AS(run(reuse()), std::logic_error);
    REQUIRE(told.types() == std::vector<std::string>{"reuse"});
    CHECK(told.findings.front().task != 0);
    CHECK(told.findings.front().text.find("created at") != std::string::npos);
    CHECK(told.findings.front().text.find("a task was awaited that had been awaited") != std::string::npos);
}

TEST_CASE("a handler that throws disturbs nobody")
{
    Told told;
    set_finding_handler([](const Finding&) { throw std::runtime_error("in the log"); });
    set_slow_callback_duration(1ns);
    run(
        []() -> Task<> {
            co_await yield();
            burn(1ms);
        }(),
        {.debug = true});
}

TEST_CASE("run gives what the task threw, and cancels who is left")
{
    Told told;
    CHECK_THROWS_WITH(run(fail()), "no more paper");
    Event never;
    run(
        [](Event& event) -> Task<> {
            spawn(*Loop::current(), wait_on(event), "left");
            co_await yield();
        }(never),
        {.debug = true});
    REQUIRE(told.types() == std::vector<std::string>{"task_cancelled"});
    CHECK(told.findings[0].text.find("left#") == 0);
    // Who does not end in time is destroyed.
    told.findings.clear();
    run(
        []() -> Task<> {
            spawn(
                *Loop::current(),
                []() -> Task<> {
                    while (true) {
                        try {
                            co_await sleep_for(1h);
                        } catch (const Cancelled&) {
                        }
                    }
                }(),
                "stubborn");
            co_await yield();
        }(),
        {.debug = true, .cleanup_limit = 5ms});
    REQUIRE(told.types() == std::vector<std::string>{"task_destroyed_pending"});
    CHECK(told.findings[0].text.find("Task was destroyed but it is pending! stubborn#") == 0);
}

TEST_CASE("all tasks are listed with their stacks, which can be printed")
{
    Event opened;
    run([](Event& event) -> Task<> {
        auto waiting = spawn(*Loop::current(), outer(event), "waiting");
        co_await sleep_for(0ms);
        const auto all = all_tasks();
        REQUIRE(all.size() == 2);
        CHECK(all[0].name == "waiting");
        CHECK(all[0].state == "suspended");
        REQUIRE(all[0].stack.size() == 2);
        CHECK(all[0].stack[0].find("wait_on") != std::string::npos);
        CHECK(all[0].stack[1].find("outer") != std::string::npos);
        CHECK(all[1].state == "running");
        std::FILE* const file = std::tmpfile();
        CHECK(print_stack(waiting.id(), file));
        CHECK_FALSE(print_stack(waiting.id() + 1000, file));
        const std::string text = text_of(file);
        std::fclose(file);
        CHECK(text.find("Stack for waiting#") == 0);
        CHECK(text.find("outer") < text.find("wait_on"));
        event.set();
        co_await waiting;
    }(opened));
    CHECK(all_tasks().empty());
}

TEST_CASE("in debug mode a task knows who spawned it")
{
    Told told;
    set_debug(true);
    run([]() -> Task<> {
        const lw_backtrace* const stack = detail::running_task()->record().created_stack;
        co_await yield();
        REQUIRE(stack != nullptr);
        CHECK(stack->count > 2);
    }());
}

TEST_CASE("what is reported of a task carries its labels")
{
    Told told;
    set_slow_callback_duration(5ms);
    set_debug(true);
    run([]() -> Task<> {
        Loop& loop = *Loop::current();
        label("request", "7");
        spawn(loop,
              []() -> Task<> {
                  co_await yield();
                  burn(10ms);
              }())
            .detach();
        Event never;
        auto waiting = spawn(loop, wait_on(never));
        co_await sleep_for(1ms);
        waiting.cancel("closing");
        co_await sleep_for(1ms);
        spawn(loop, fail()).detach();
        co_await sleep_for(1ms);
        Mutex mutex;
        const MutexLock lock = co_await mutex.lock();
        bool refused = false;
        try {
            const MutexLock again = co_await mutex.lock();
        } catch (const std::system_error&) {
            refused = true;
        }
        CHECK(refused);
    }());
    CHECK(told.types() ==
          std::vector<std::string>{"slow_callback", "task_cancelled", "exception_unretrieved", "deadlock"});
    for (const Finding& finding : told.findings) CHECK_THAT(finding.text, Catch::Contains(", labels request=7"));
}

TEST_CASE("a task that ends with a Cancelled of its own has not timed out, also if its limit expires at that moment")
{
    Told told;  // in debug mode the loop polls right after a slow dispatch, before the waiting task goes on
    std::string end;
    run(
        [](std::string& end) -> Task<> {
            end = co_await outcome_of(with_timeout(5ms, []() -> Task<> {
                co_await yield();
                burn(10ms);
                throw Cancelled("its own");
            }()));
        }(end),
        {.debug = true});
    CHECK(end == "cancelled: its own");
}

TEST_CASE("a coroutine that is never awaited is reported")
{
    Told told;
    set_debug(true);
    run([]() -> Task<> {
        {
            const Task<> forgotten = fail();
        }
        co_return;
    }());
    REQUIRE(told.types() == std::vector<std::string>{"coroutine_never_awaited"});
    CHECK_THAT(told.findings[0].text, Catch::Contains("fail") && Catch::Contains("was never awaited"));
}

TEST_CASE("an operation of another thread than the loop's is reported once, on the thread that called it")
{
    Told told;
    std::vector<std::thread::id> reported_on;
    set_finding_handler([&](const Finding& finding) {
        told.findings.push_back(finding);
        reported_on.push_back(std::this_thread::get_id());
    });
    set_debug(true);
    std::thread::id other_id;
    run([](std::thread::id& other_id) -> Task<> {
        Event opened;
        auto waiting = spawn(*Loop::current(), wait_on(opened));
        co_await yield();
        // This thread waits meanwhile, so that nothing but the rule is broken.
        std::thread other([&] { opened.set(); });
        other_id = other.get_id();
        other.join();
        co_await waiting;
    }(other_id));
    REQUIRE(told.types() == std::vector<std::string>{"thread_violation"});
    CHECK_THAT(told.findings[0].text, Catch::Contains("Event::set"));
    CHECK(reported_on == std::vector<std::thread::id>{other_id});
}

TEST_CASE("a descriptor that is open when its loop ends is reported")
{
    Told told;
    set_debug(true);
    std::optional<Loop> loop("brief");
    // Never destroyed: its context is gone by then.
    alignas(asio::ip::udp::socket) static unsigned char room[sizeof(asio::ip::udp::socket)];
    auto* const socket = new (room) asio::ip::udp::socket(loop->context(), asio::ip::udp::v4());
    const int fd = socket->native_handle();
    loop->run();
    loop.reset();
    REQUIRE(told.types() == std::vector<std::string>{"resource_leak"});
    CHECK_THAT(told.findings[0].text,
               Catch::StartsWith("unclosed socket " + std::to_string(fd) + " of loop brief, opened at"));
}

TEST_CASE("an Asio handler that holds up a poll is reported")
{
    Told told;
    set_slow_callback_duration(5ms);
    set_debug(true);
    run([]() -> Task<> {
        asio::post(Loop::current()->context(), [] { burn(10ms); });
        co_await sleep_for(1ms);
    }());
    REQUIRE(told.types() == std::vector<std::string>{"slow_poll"});
}
