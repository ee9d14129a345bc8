// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <string>
#include <system_error>
#include <utility>

#include <asio/buffer.hpp>
#include <asio/write.hpp>

namespace shop {

using asio::ip::tcp;
using loopwatch::Task;
using loopwatch::use_task_nothrow;

Task<> Session::run()
{
    try {
        co_await serve_requests();
    } catch (const std::system_error&) {
        // The client went away in the middle.
    } catch (const loopwatch::Cancelled&) {
        // The server ends and has waited long enough.
    }
    std::error_code ignored;
    socket_.close(ignored);
}

void Session::stop() noexcept
{
    stopping_ = true;
    // A session that waits for the next request reads the end of the stream.
    std::error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_receive, ignored);
}

Task<> Session::serve_requests()
{
    for (;;) {
        std::optional<Request> request = co_await read_request();
        if (!request) co_return;
        const bool go_on = co_await respond(std::move(*request));
        if (!go_on) co_return;
    }
}

Task<std::optional<Request>> Session::read_request()
{
    for (;;) {
        if (unread_.empty()) {
            const auto [error, size] = co_await socket_.async_read_some(asio::buffer(buffer_), use_task_nothrow);
            if (error) co_return std::nullopt;
            unread_ = {buffer_.data(), size};
        }
        switch (parser_.feed(unread_)) {
            case RequestParser::Progress::needs_more: break;
            case RequestParser::Progress::complete: co_return parser_.take();
            case RequestParser::Progress::failed: co_await refuse(parser_.error()); co_return std::nullopt;
        }
    }
}

Task<bool> Session::respond(Request request)
{
    const bool is_head = request.method == HTTP_HEAD;
    const bool keep_alive = request.keep_alive;
    // A task of its own: reports name the request, not the connection.
    const std::string name = task_name(request);
    const auto handling =
        loopwatch::spawn(*loopwatch::Loop::current(), handle_request(desk_, std::move(request)), name);
    const Response response = co_await handling;
    const bool go_on = keep_alive && !stopping_;
    const std::string bytes = render(response, go_on, is_head);
    co_await asio::async_write(socket_, asio::buffer(bytes), loopwatch::use_task);
    co_return go_on;
}

Task<> Session::refuse(http_status status)
{
    const std::string bytes = render(error_response(status), false, false);
    co_await asio::async_write(socket_, asio::buffer(bytes), loopwatch::use_task);
    // Closing with bytes unread sends a reset, which may destroy the answer before the client has read it (RFC 9112
    // §9.6).
    constexpr std::size_t patience_bytes = 1024 * 1024;
    socket_.shutdown(tcp::socket::shutdown_send);
    for (std::size_t dropped = 0; dropped < patience_bytes;) {
        const auto [error, size] = co_await socket_.async_read_some(asio::buffer(buffer_), use_task_nothrow);
        if (error) co_return;
        dropped += size;
    }
}

}  // namespace shop
