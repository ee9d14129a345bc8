// SPDX-License-Identifier: Apache-2.0
//
// One connection: requests in, responses out, in order, until either side has had enough.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include <asio/ip/tcp.hpp>

#include <loopwatch/rt.hpp>

#include "endpoints.hpp"
#include "http.hpp"

namespace shop {

class Session {
public:
    Session(asio::ip::tcp::socket socket, Desk desk) : socket_(std::move(socket)), desk_(desk) {}
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // Until the connection ends. Throws nothing; a cancelled session drops its client in the middle.
    loopwatch::Task<> run();
    // On the loop's thread: finishes the request under way, takes no other.
    void stop() noexcept;

private:
    loopwatch::Task<> serve_requests();
    loopwatch::Task<std::optional<Request>> read_request();
    loopwatch::Task<bool> respond(Request request);
    loopwatch::Task<> refuse(http_status status);

    asio::ip::tcp::socket socket_;
    Desk desk_;
    RequestParser parser_;
    std::array<char, 8192> buffer_;
    std::string_view unread_;  // part of buffer_
    bool stopping_ = false;
};

}  // namespace shop
