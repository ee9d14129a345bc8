// SPDX-License-Identifier: Apache-2.0
#include "suppliers.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>

namespace shop {
namespace {

using namespace std::chrono_literals;
using namespace std::string_view_literals;
using asio::ip::udp;
using loopwatch::Task;

constexpr auto answer_takes = 150ms;
constexpr const char* supplier_name = "supplier.example.";  // the final dot: no search list
constexpr std::size_t header_bytes = 12;                    // RFC 1035 §4.1.1
constexpr std::size_t max_query_bytes = 512;                // RFC 1035 §2.3.4

// Header and question of the query with one address added; empty if it is no query of one question.
std::string answer_to(std::string_view query)
{
    const auto name_end = query.find('\0', header_bytes);
    if (query.size() < header_bytes || query.substr(4, 2) != "\0\1"sv || name_end == query.npos) return {};
    const auto question_end = name_end + 5;  // root label, type, class
    if (question_end > query.size()) return {};
    std::string reply(query.substr(0, question_end));
    // Flags: response, recursion desired and available. Counts: 1 question, 1 answer, no more.
    reply.replace(2, 10, "\x81\x80\0\1\0\1\0\0\0\0"sv);
    // The question's name, type A, class IN, 0 s to live, 4 bytes: 192.0.2.10 (RFC 5737, for documentation).
    return reply.append("\xc0\x0c\0\1\0\1\0\0\0\0\0\4\xc0\0\2\x0a"sv);
}

// glibc keeps the resolver's state per thread and does not reload /etc/resolv.conf once a program has changed it.
void use_name_server(std::uint16_t port)
{
    thread_local std::uint16_t used = 0;
    if (used == port) return;
    if (res_init() != 0) throw std::runtime_error("res_init");
    _res.options &= ~(RES_USEVC | RES_USE_EDNS0);
    _res.nscount = 1;
    _res.nsaddr_list[0] = {};
    _res.nsaddr_list[0].sin_family = AF_INET;
    _res.nsaddr_list[0].sin_port = htons(port);
    _res.nsaddr_list[0].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    used = port;
}

}  // namespace

NameServer::NameServer()
    : socket_(loop_.context(), udp::endpoint(asio::ip::address_v4::loopback(), 0)),
      serving_(loopwatch::spawn(loop_, serve(), "name-server")),
      thread_([this] { loop_.run(); })
{
    pthread_setname_np(thread_.native_handle(), "name-server");
}

NameServer::~NameServer()
{
    serving_.cancel("shutting down");
    thread_.join();
}

Task<> NameServer::serve()
{
    try {
        for (;;) {
            std::array<char, max_query_bytes> query;
            udp::endpoint client;
            auto [error, size] =
                co_await socket_.async_receive_from(asio::buffer(query), client, loopwatch::use_task_nothrow);
            if (!error) loopwatch::spawn(loop_, answer(std::string(query.data(), size), client), "answer");
        }
    } catch (const loopwatch::Cancelled&) {
    }
}

Task<> NameServer::answer(std::string query, udp::endpoint client)
{
    const std::string reply = answer_to(query);
    if (reply.empty()) co_return;
    co_await loopwatch::sleep_for(answer_takes);
    // A lost datagram is the client's business: it asks again.
    co_await socket_.async_send_to(asio::buffer(reply), client, loopwatch::use_task_nothrow);
}

std::string resolve_supplier(std::uint16_t name_server_port)
{
    use_name_server(name_server_port);
    addrinfo hints{};
    hints.ai_family = AF_INET;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(supplier_name, nullptr, &hints, &found);
    if (error != 0) throw std::runtime_error(std::string("getaddrinfo: ") + gai_strerror(error));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
    sockaddr_in address{};
    std::copy_n(reinterpret_cast<const char*>(found->ai_addr), sizeof address, reinterpret_cast<char*>(&address));
    char text[INET_ADDRSTRLEN];
    return inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
}

}  // namespace shop
