// SPDX-License-Identifier: Apache-2.0
//
// The server: as many loops as wanted, each with an acceptor of its own on the same port (SO_REUSEPORT), so that no
// connection changes its thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <asio/ip/tcp.hpp>

#include <loopwatch/rt.hpp>

#include "access_log.hpp"
#include "endpoints.hpp"
#include "session.hpp"

namespace shop {

// One loop with its connections.
class Worker {
public:
    // Listens at once. Errors: std::system_error.
    Worker(Shop& shop, std::string name, asio::ip::tcp::endpoint endpoint);

    loopwatch::Loop& loop() noexcept { return loop_; }
    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    // Makes loop().run() return once the requests under way are answered, in two seconds at most. Any thread.
    void stop() const { serving_.cancel("the server is shutting down"); }

private:
    struct Connection {
        std::unique_ptr<Session> session;
        loopwatch::JoinHandle<void> running;
    };

    loopwatch::Task<> serve();
    loopwatch::Task<> accept_connections();
    loopwatch::Task<> end_connections();
    loopwatch::Task<> lose_patience();
    void begin(asio::ip::tcp::socket socket);

    loopwatch::Loop loop_;
    asio::ip::tcp::acceptor acceptor_;
    AsyncAccessLog access_log_;
    Desk desk_;
    std::vector<Connection> connections_;
    std::size_t sweep_at_ = 64;  // so many connections: drop those that have ended
    loopwatch::JoinHandle<void> serving_;
};

class Server {
public:
    // Port 0: any that is free. Errors: std::system_error.
    Server(Shop& shop, std::uint16_t port, std::size_t loops);

    std::uint16_t port() const { return workers_.front()->port(); }
    // Until SIGINT or SIGTERM; a second one ends the process at once. The first loop runs on the calling thread.
    void run();

private:
    loopwatch::Task<> stop_at_signal();

    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace shop
