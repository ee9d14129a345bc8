// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/buffer.hpp>
#include <asio/compose.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
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
