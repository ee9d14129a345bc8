// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <pthread.h>
#include <asio/signal_set.hpp>

namespace shop {
namespace {

using namespace std::chrono_literals;
using asio::ip::tcp;
using loopwatch::Task;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

tcp::acceptor listen(asio::io_context& context, const tcp::endpoint& endpoint)
{
    tcp::acceptor acceptor(context, endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.set_option(ReusePort(true));
    acceptor.bind(endpoint);
    acceptor.listen();
    return acceptor;
}

}  // namespace

Worker::Worker(Shop& shop, std::string name, tcp::endpoint endpoint)
    : loop_(std::move(name)),
      acceptor_(listen(loop_.context(), endpoint)),
      access_log_(loop_),
      desk_{shop, access_log_},
      serving_(loopwatch::spawn(loop_, serve(), "server"))
{
}

Task<> Worker::serve()
{
    try {
        co_await accept_connections();
    } catch (const loopwatch::Cancelled&) {
    }
    acceptor_.close();
    co_await end_connections();
}

Task<> Worker::accept_connections()
{
    for (;;) {
        auto [error, socket] = co_await acceptor_.async_accept(loopwatch::use_task_nothrow);
        if (!error)
            begin(std::move(socket));
        else
            // Out of descriptors, most likely: the connection stays in the backlog, and asking again at once would
            // spin.
            co_await loopwatch::sleep_for(50ms);
    }
}

void Worker::begin(tcp::socket socket)
{
    std::error_code ignored;  // the client may be gone
    socket.set_option(tcp::no_delay(true), ignored);
    if (connections_.size() >= sweep_at_) {
        std::erase_if(connections_, [](const Connection& connection) { return connection.running.done(); });
        sweep_at_ = std::max<std::size_t>(64, 2 * connections_.size());
    }
    auto session = std::make_unique<Session>(std::move(socket), desk_);
    auto running = loopwatch::spawn(loop_, session->run(), "session");
    connections_.push_back({std::move(session), std::move(running)});
}

Task<> Worker::end_connections()
{
    for (const Connection& connection : connections_) connection.session->stop();
    const auto deadline = loopwatch::spawn(loop_, lose_patience(), "deadline");
    for (const Connection& connection : connections_) co_await connection.running;
    deadline.cancel("all connections have ended");
}

Task<> Worker::lose_patience()
{
    try {
        co_await loopwatch::sleep_for(2s);
        for (const Connection& connection : connections_) connection.running.cancel("the server is shutting down");
    } catch (const loopwatch::Cancelled&) {
    }
}

Server::Server(Shop& shop, std::uint16_t port, std::size_t loops)
{
    tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);
    for (std::size_t number = 0; number < loops; ++number) {
        workers_.push_back(std::make_unique<Worker>(shop, "http-" + std::to_string(number), endpoint));
        endpoint.port(workers_.front()->port());
    }
}

void Server::run()
{
    loopwatch::spawn(workers_.front()->loop(), stop_at_signal(), "signals");
    std::vector<std::jthread> threads;
    for (std::size_t number = 1; number < workers_.size(); ++number) {
        threads.emplace_back([&worker = *workers_[number]] { worker.loop().run(); });
        pthread_setname_np(threads.back().native_handle(), workers_[number]->loop().name().c_str());
    }
    workers_.front()->loop().run();
}

Task<> Server::stop_at_signal()
{
    asio::signal_set signals(workers_.front()->loop().context(), SIGINT, SIGTERM);
    co_await signals.async_wait(loopwatch::use_task_nothrow);
    signals.clear();
    for (const auto& worker : workers_) worker->stop();
}

}  // namespace shop
