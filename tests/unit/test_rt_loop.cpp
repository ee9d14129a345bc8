// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <asio/buffer.hpp>
#include <asio/connect.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/signal_set.hpp>
#include <asio/write.hpp>
#include <catch2/catch.hpp>

#include <signal.h>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;
using asio::ip::tcp;

namespace {

Task<> echo_once(tcp::acceptor& acceptor)
{
    tcp::socket peer = co_await acceptor.async_accept(use_task);
    std::array<char, 5> data;
    co_await asio::async_read(peer, asio::buffer(data), use_task);
    co_await asio::async_write(peer, asio::buffer(data), use_task);
}

Task<std::string> talk(Loop& loop, std::string port)
{
    tcp::resolver resolver(loop.context());
    tcp::socket socket(loop.context());
    const auto endpoints = co_await resolver.async_resolve("127.0.0.1", port, use_task);
    co_await asio::async_connect(socket, endpoints, use_task);
    co_await asio::async_write(socket, asio::buffer("hello", 5), use_task);
    std::string answer(5, '\0');
    co_await asio::async_read(socket, asio::buffer(answer), use_task);
    const auto [error, n] = co_await socket.async_read_some(asio::buffer(answer.data(), 5), use_task_nothrow);
    if (error != asio::error::eof || n != 0) co_return "no end of file";
    co_return answer;
}

}  // namespace

TEST_CASE("sockets, the resolver and composed operations are awaited; an error is thrown or returned")
{
    Loop loop("test");
    tcp::acceptor acceptor(loop.context(), tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    std::string answer;
    bool refused = false;
    spawn(loop, echo_once(acceptor), "server");
    spawn(loop, [](Loop& on, std::string port, std::string& to, bool& thrown) -> Task<> {
        to = co_await talk(on, port);
        tcp::socket socket(on.context());
        try {
            co_await socket.async_connect(tcp::endpoint(asio::ip::address_v4::loopback(), 1), use_task);
        } catch (const std::system_error& error) {
            thrown = error.code() == asio::error::connection_refused;
        }
    }(loop, std::to_string(acceptor.local_endpoint().port()), answer, refused));
    loop.run();
    CHECK(answer == "hello");
    CHECK(refused);
}

TEST_CASE("signals are awaited")
{
    Loop loop("test");
    int received = 0;
    spawn(loop, [](Loop& on, int& to) -> Task<> {
        asio::signal_set signals(on.context(), SIGUSR1);
        on.post([] { raise(SIGUSR1); });
        to = co_await signals.async_wait(use_task);
    }(loop, received));
    loop.run();
    CHECK(received == SIGUSR1);
}

TEST_CASE("work in the executor brings back its result or its exception and leaves the loop free")
{
    Loop loop("test");
    std::vector<std::string> log;
    spawn(loop, [](std::vector<std::string>& to) -> Task<> {
        const auto worker = co_await run_in_executor([] {
            std::this_thread::sleep_for(30ms);
            return std::this_thread::get_id();
        });
        to.push_back(worker == std::this_thread::get_id() ? "same thread" : "other thread");
        try {
            co_await run_in_executor([] { throw std::runtime_error("from the pool"); });
        } catch (const std::runtime_error& error) {
            to.push_back(error.what());
        }
    }(log));
    spawn(loop, [](std::vector<std::string>& to) -> Task<> {
        co_await sleep_for(5ms);
        to.push_back("meanwhile");
    }(log));
    loop.run();
    CHECK(log == std::vector<std::string>{"meanwhile", "other thread", "from the pool"});
}

TEST_CASE("several loops in several threads send each other 20,000 callbacks and tasks and lose none")
{
    constexpr int loops = 4, each = 5'000;
    std::vector<std::unique_ptr<Loop>> all;
    std::atomic<int> arrived{0};
    for (int i = 0; i < loops; ++i) all.push_back(std::make_unique<Loop>("loop " + std::to_string(i)));
    std::vector<std::thread> threads;
    for (int i = 0; i < loops; ++i) {
        Loop& self = *all[i];
        Loop& other = *all[(i + 1) % loops];
        spawn(
            self,
            [](Loop& to, std::atomic<int>& count) -> Task<> {
                for (int n = 0; n < each; ++n) {
                    if (n % 2 == 0)
                        to.post([&count] { ++count; });
                    else
                        spawn(to, [](std::atomic<int>& c) -> Task<> {
                            co_await yield();
                            ++c;
                        }(count));
                    co_await yield();
                }
                while (count != loops * each) co_await sleep_for(1ms);
            }(other, arrived),
            "sender");
    }
    for (auto& loop : all) threads.emplace_back([&loop] { loop->run(); });
    for (auto& thread : threads) thread.join();
    CHECK(arrived == loops * each);
}

TEST_CASE("a waiting loop is woken by a post and by a stop from another thread, each of 200 times")
{
    Loop loop("test");
    std::atomic<int> ran{0};
    spawn(loop, []() -> Task<> { co_await sleep_for(1h); }());
    std::thread other([&] {
        for (int i = 1; i <= 200; ++i) {
            std::this_thread::sleep_for(200us);
            loop.post([&] { ++ran; });
            while (ran != i) std::this_thread::yield();
        }
        loop.stop();
    });
    loop.run();
    other.join();
    CHECK(ran == 200);
    CHECK(loop.slot().tasks != nullptr);
}

namespace {

// A handler that posts itself, as a busy poller written for a bare io_context does.
struct PostsItself {
    asio::io_context& context;
    std::atomic<bool>& ends;
    void operator()() const
    {
        if (!ends) asio::post(context, *this);
    }
};

// Without a bound the loop polls for ever: after 5 s the handler ends, and the case fails by what did not run.
void run_within_limit(Loop& loop, std::atomic<bool>& ends)
{
    std::jthread limit([&](std::stop_token stopped) {
        for (int ms = 0; ms < 5000 && !stopped.stop_requested(); ++ms) std::this_thread::sleep_for(1ms);
        ends = true;
        loop.stop();
    });
    loop.run();
    limit.request_stop();
}

}  // namespace

TEST_CASE("a handler that posts itself keeps neither timers nor other threads from the tasks")
{
    Loop loop("test");
    std::atomic<bool> ends{false}, posted{false};
    int slept = 0;
    spawn(loop, [](int& times, std::atomic<bool>& seen, std::atomic<bool>& end) -> Task<> {
        for (; times < 3; ++times) co_await sleep_for(2ms);
        while (!seen) co_await sleep_for(1ms);
        end = true;
    }(slept, posted, ends));
    asio::post(loop.context(), PostsItself{loop.context(), ends});
    std::thread other([&] { loop.post([&] { posted = true; }); });
    run_within_limit(loop, ends);
    other.join();
    CHECK(slept == 3);
    CHECK(posted);
}

TEST_CASE("a callback that posts itself keeps the context's handlers from nothing, nor they it")
{
    Loop loop("test");
    std::atomic<bool> ends{false};
    int calls = 0;
    std::function<void()> again = [&] {
        if (++calls == 1000) ends = true;
        if (!ends) loop.post(again);
    };
    loop.post(again);
    asio::post(loop.context(), PostsItself{loop.context(), ends});
    run_within_limit(loop, ends);
    CHECK(calls == 1000);
}

TEST_CASE("stop before run ends the next run at once, and only that")
{
    Loop loop("test");
    int ran = 0;
    loop.post([&] { ++ran; });
    loop.stop();
    loop.run();
    CHECK(ran == 0);
    loop.run();
    CHECK(ran == 1);
}

TEST_CASE("an exception of a callback leaves run, and the loop can be run again")
{
    Loop loop("test");
    bool after = false;
    loop.post([] { throw std::runtime_error("callback"); });
    loop.post([&] { after = true; });
    CHECK_THROWS_WITH(loop.run(), "callback");
    CHECK(loop.slot().seq % 2 == 0);
    CHECK_FALSE(after);
    loop.run();
    CHECK(after);
    CHECK(loop.slot().seq == 4);
}

TEST_CASE("a loop runs once at a time")
{
    Loop loop("test");
    bool refused = false;
    loop.post([&] {
        try {
            loop.run();
        } catch (const std::logic_error&) {
            refused = true;
        }
    });
    loop.run();
    CHECK(refused);
}

namespace {

Task<> count_after_yield(int& count)
{
    co_await yield();
    ++count;
}

}  // namespace

TEST_CASE("shut_down cancels all tasks, also those that are spawned meanwhile, and waits for them")
{
    Loop loop("test");
    std::optional<JoinHandle<void>> late;
    int ran = 0;
    auto early = spawn(loop, [](std::optional<JoinHandle<void>>& spawned, int& count) -> Task<> {
        std::string reason;
        try {
            co_await sleep_for(1h);
        } catch (const Cancelled& request) {
            reason = request.reason();
        }
        spawned.emplace(spawn(*Loop::current(), count_after_yield(count)));
        co_await sleep_for(1ms);
        throw Cancelled(reason);
    }(late, ran));
    loop.post([&] { loop.stop(); });
    loop.run();
    CHECK_FALSE(early.done());
    loop.shut_down(std::chrono::nanoseconds::max());
    CHECK(early.done());
    REQUIRE(late.has_value());
    CHECK(late->done());
    CHECK(loop.slot().tasks_cancelled == 2);
    CHECK(ran == 0);
}

TEST_CASE("shut_down in a dispatch is refused and cancels nothing")
{
    Loop loop("test");
    bool refused = false;
    int ran = 0;
    loop.post([&] {
        try {
            loop.shut_down(1s);
        } catch (const std::logic_error&) {
            refused = true;
        }
    });
    spawn(loop, count_after_yield(ran)).detach();
    loop.run();
    CHECK(refused);
    CHECK(ran == 1);
}

TEST_CASE("shut_down in which callbacks throw ends all tasks, throws what they threw, and the loop can be run again")
{
    Loop loop("test");
    int ran = 0;
    bool cleaned_up = false;
    spawn(loop,
          [](bool& cleaned) -> Task<> {
              try {
                  co_await sleep_for(1h);
              } catch (const Cancelled&) {
              }
              co_await sleep_for(1ms);
              cleaned = true;
          }(cleaned_up))
        .detach();
    loop.post([&] { loop.stop(); });
    loop.run();
    loop.post([] { throw std::runtime_error("first"); });
    loop.post([&] { loop.post([] { throw std::runtime_error("second"); }); });
    CHECK_THROWS_WITH(loop.shut_down(1s), "2 tasks failed: first; second");
    CHECK(cleaned_up);
    spawn(loop, count_after_yield(ran)).detach();
    loop.run();
    CHECK(ran == 1);
}

TEST_CASE("a sleep ends no earlier than it was asked to")
{
    Loop loop("test");
    spawn(loop,
          []() -> Task<> {
              for (int i = 0; i < 20; ++i)
                  for (const std::chrono::nanoseconds time : {0ns, 1'000ns, 300'000ns, 1'000'000ns}) {
                      const auto due = std::chrono::steady_clock::now() + time;
                      co_await sleep_for(time);
                      CHECK(std::chrono::steady_clock::now() >= due);
                      const auto until = std::chrono::steady_clock::now() + time;
                      co_await sleep_until(until);
                      CHECK(std::chrono::steady_clock::now() >= until);
                  }
          }())
        .detach();
    loop.run();
}

TEST_CASE("a sleep of less than nothing lets others run, and ends")
{
    Loop loop("test");
    bool other_ran = false, ended = false;
    spawn(loop,
          [](bool& ran, bool& end) -> Task<> {
              co_await sleep_for(-1s);
              CHECK(ran);
              end = true;
          }(other_ran, ended))
        .detach();
    loop.post([&] { other_ran = true; });
    loop.run();
    CHECK(ended);
}

TEST_CASE("stop in a dispatch ends the loop within poll_interval dispatches")
{
    Loop loop("test");
    unsigned ran = 0;
    for (int i = 0; i < 1000; ++i)
        loop.post([&] {
            loop.stop();
            ++ran;
        });
    loop.run();
    CHECK(ran >= 1);
    CHECK(ran <= Loop::poll_interval);
}
