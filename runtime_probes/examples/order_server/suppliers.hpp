// SPDX-License-Identifier: Apache-2.0
//
// Finding a supplier by name. The name server is ours and answers late, so that a look-up takes the same time on a
// machine without a network, where the system's own server fails at once or after many seconds.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <thread>

#include <asio/ip/udp.hpp>

#include <loopwatch/rt.hpp>

namespace shop {

// A DNS server on a loopback port and a loop of its own. Answers every question with 192.0.2.10 after 150 ms.
class NameServer {
public:
    // Errors: std::system_error.
    NameServer();
    ~NameServer();

    std::uint16_t port() const { return socket_.local_endpoint().port(); }

private:
    loopwatch::Task<> serve();
    loopwatch::Task<> answer(std::string query, asio::ip::udp::endpoint client);

    loopwatch::Loop loop_{"name-server"};
    asio::ip::udp::socket socket_;
    loopwatch::JoinHandle<void> serving_;
    std::thread thread_;
};

// The address of the supplier, by getaddrinfo from the name server at this loopback port. Any thread. Errors:
// std::system_error, std::runtime_error with getaddrinfo's word for it.
std::string resolve_supplier(std::uint16_t name_server_port);

}  // namespace shop
