// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/thread_pool.hpp>
#include <asio/write.hpp>
#include <catch2/catch.hpp>

#include <loopwatch/rt.hpp>

#include "outcome_of.hpp"

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

struct initiate_async_write_buffer_sequence {};
struct initiate_async_read_until_delim_string_v2 {};
struct initiate_async_move_accept {};
struct initiate_async_read_some {};
struct something_else {};

template <class Initiation>
std::string name_of()
{
    return detail::operation_name<Initiation>().data();
}

using Socket = asio::local::stream_protocol::socket;

Task<> read_one(Socket& socket)
{
    char byte = 0;
    co_await asio::async_read(socket, asio::buffer(&byte, 1), use_task);
}

const lw_task* find(const Loop& loop, const char* name)
{
    const lw_task* task = loop.slot().tasks;
    while (task != nullptr && std::strcmp(task->name, name) != 0) task = task->next;
    return task;
}

Task<> look(Loop& loop, Socket& socket, lw_awaited& seen, std::string& operation)
{
    const lw_task* const reader = find(loop, "reader");
    if (reader != nullptr && reader->awaited != nullptr) {
        seen = *reader->awaited;
        operation = seen.name;
    }
    co_await asio::async_write(socket, asio::buffer("x", 1), use_task);
}

}  // namespace

TEST_CASE("an operation is called as the function that starts it")
{
    CHECK(name_of<initiate_async_write_buffer_sequence>() == "async_write");
    CHECK(name_of<initiate_async_read_until_delim_string_v2>() == "async_read_until");
    CHECK(name_of<initiate_async_move_accept>() == "async_accept");
    CHECK(name_of<initiate_async_read_some>() == "async_read_some");
    CHECK(name_of<something_else>() == "an operation");
}

TEST_CASE("a task that waits for an operation tells its descriptor", "[probes]")
{
    Loop loop;
    Socket one(loop.context()), other(loop.context());
    asio::local::connect_pair(one, other);
    lw_awaited seen{};
    std::string operation;
    auto reader = spawn(loop, read_one(one), "reader");
    auto looker = spawn(loop, look(loop, other, seen, operation), "looker");
    loop.run();
    CHECK(reader.done());
    CHECK(seen.kind == LW_AWAITED_IO);
    CHECK(seen.fd == one.native_handle());
    CHECK(operation == "async_read");
}

namespace {

// An operation that ends with the second cancellation; `own`: of the loop's context.
template <bool Own>
struct Stubborn {
    int& requests;
    asio::any_io_executor executor;

    asio::any_io_executor get_executor() const noexcept requires Own { return executor; }
    template <class Handler>
    void operator()(Handler&& handler) const
    {
        auto slot = asio::get_associated_cancellation_slot(handler);
        auto kept = std::make_shared<std::optional<std::decay_t<Handler>>>(std::forward<Handler>(handler));
        slot.assign([kept, &count = requests](asio::cancellation_type) {
            if (++count != 2) return;
            auto done = std::move(**kept);
            kept->reset();
            std::move(done)(std::error_code(asio::error::operation_aborted));
        });
    }
};

template <bool Own>
Task<> wait_stubbornly(int& requests, asio::any_io_executor executor)
{
    co_await asio::async_initiate<const UseTask<true>&, void(std::error_code)>(Stubborn<Own>{requests, executor},
                                                                               use_task);
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("each cancellation of a task is passed on to the operation that it waits for", "",
                       ((bool Own), Own), true, false)
{
    Loop loop;
    int requests = 0;
    auto task = spawn(loop, wait_stubbornly<Own>(requests, loop.context().get_executor()));
    spawn(loop,
          [](Loop& its, JoinHandle<void>& waits, int& count) -> Task<> {
              co_await yield();
              waits.cancel("first");
              co_await yield();
              CHECK(count == 1);
              waits.cancel("second");
              co_await yield();
              CHECK(count == 2);
              its.stop();
          }(loop, task, requests))
        .detach();
    loop.run();
    CHECK(task.done());
}

namespace {

// A composed operation on the loop's own socket that ends without calling its handler.
Task<> drop_composed(Socket& socket, bool waits)
{
    co_await asio::async_compose<const UseTask<true>&, void(std::error_code)>(
        [&socket, waits, step = 0](auto& self, std::error_code = {}, std::size_t = 0) mutable {
            if (waits && step++ == 0)
                socket.async_write_some(asio::buffer("x", 1), std::move(self));
            else
                auto dropped = std::move(self);
        },
        use_task, socket);
}

}  // namespace

TEST_CASE("an operation of the loop's own context whose handler is destroyed uncalled ends")
{
    const bool waits = GENERATE(false, true);
    Loop loop;
    Socket one(loop.context()), other(loop.context());
    asio::local::connect_pair(one, other);
    std::string end;
    spawn(loop,
          [](Socket& socket, bool waits, std::string& end) -> Task<> {
              end = co_await outcome_of(drop_composed(socket, waits));
          }(one, waits, end))
        .detach();
    spawn(loop,
          [](Loop& its) -> Task<> {
              co_await sleep_for(20ms);
              its.stop();
          }(loop))
        .detach();
    loop.run();
    CHECK_THAT(end, Catch::StartsWith("its handler was destroyed uncalled"));
}

namespace {

// An operation without a cancellation slot, whose completion is in `complete`.
Task<int> await_callback(std::function<void(int)>& complete)
{
    co_return co_await asio::async_initiate<const UseTask<true>&, void(int)>(
        [&complete](auto handler) {
            complete = [kept = std::make_shared<decltype(handler)>(std::move(handler))](int value) {
                std::move (*kept)(value);
            };
        },
        use_task);
}

Task<std::string> read_ten(Socket& socket, bool throws)
{
    std::array<char, 10> data{};
    try {
        if (throws)
            co_await asio::async_read(socket, asio::buffer(data), use_task);
        else
            co_await asio::async_read(socket, asio::buffer(data), use_task_nothrow);
    } catch (const Cancelled& request) {
        co_return request.reason();
    }
    co_return "a result";
}

}  // namespace

TEST_CASE("a task waits for an operation without a cancellation slot, and Cancelled comes at the next await")
{
    std::function<void(int)> complete;
    run([](std::function<void(int)>& complete) -> Task<> {
        std::string seen;
        auto waiting = spawn(*Loop::current(), [](std::function<void(int)>& complete, std::string& seen) -> Task<> {
            seen = std::to_string(co_await await_callback(complete));
            try {
                co_await yield();
            } catch (const Cancelled& request) {
                seen += request.reason();
            }
        }(complete, seen));
        co_await yield();
        waiting.cancel(" closing");
        co_await yield();
        co_await yield();
        CHECK_FALSE(waiting.done());
        asio::thread_pool pool(1);
        asio::post(pool, [&complete] { std::exchange(complete, nullptr)(4); });
        co_await waiting;
        pool.join();
        CHECK(seen == "4 closing");
    }(complete));
}

TEST_CASE("a composed read that has read a part when it is cancelled ends with Cancelled")
{
    const bool throws = GENERATE(true, false);
    Loop loop;
    Socket one(loop.context()), other(loop.context());
    asio::local::connect_pair(one, other);
    std::string end;
    spawn(loop,
          [](Socket& reads, Socket& writes, bool throws, std::string& end) -> Task<> {
              auto reader = spawn(*Loop::current(), read_ten(reads, throws));
              co_await asio::async_write(writes, asio::buffer("four", 4), use_task);
              co_await sleep_for(1ms);
              reader.cancel("closing");
              end = co_await reader;
          }(one, other, throws, end))
        .detach();
    loop.run();
    CHECK(end == "closing");
}

namespace {

// An operation of another context, which notes on which thread it is cancelled.
struct NotesThread {
    asio::any_io_executor executor;
    std::atomic<std::thread::id>& cancelled_on;

    asio::any_io_executor get_executor() const noexcept { return executor; }
    template <class Handler>
    void operator()(Handler&& handler) const
    {
        auto slot = asio::get_associated_cancellation_slot(handler);
        auto kept = std::make_shared<std::optional<std::decay_t<Handler>>>(std::forward<Handler>(handler));
        slot.assign([kept, &noted = cancelled_on](asio::cancellation_type) {
            noted = std::this_thread::get_id();
            auto done = std::move(**kept);
            kept->reset();  // it holds what holds this slot
            std::move(done)(std::error_code(asio::error::operation_aborted));
        });
    }
};

}  // namespace

TEST_CASE("an operation of another context is cancelled on a thread of that context")
{
    asio::io_context other;
    auto work = asio::make_work_guard(other);
    std::thread thread([&] { other.run(); });
    std::atomic<std::thread::id> cancelled_on{};
    run([](asio::io_context& other, std::atomic<std::thread::id>& noted) -> Task<> {
        auto waiting =
            spawn(*Loop::current(), [](asio::io_context& other, std::atomic<std::thread::id>& noted) -> Task<> {
                co_await asio::async_initiate<const UseTask<true>&, void(std::error_code)>(
                    NotesThread{other.get_executor(), noted}, use_task);
            }(other, noted));
        co_await yield();
        waiting.cancel("closing");
        const auto end = co_await outcome_of(waiting);
        CHECK(end == "cancelled: closing");
    }(other, cancelled_on));
    CHECK(cancelled_on.load() == thread.get_id());
    work.reset();
    thread.join();
}
