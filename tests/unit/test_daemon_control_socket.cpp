// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <list>
#include <nlohmann/json.hpp>

#include "control_client_end.hpp"
#include "daemon/control_socket.hpp"
#include "temporary_directory.hpp"

using namespace loopwatch;
using nlohmann::json;

namespace {

constexpr std::uint64_t short_ns = 50'000'000;
constexpr std::uint64_t long_ns = 60'000'000'000;

// Answers with what it was asked; "large": `large` bytes.
struct Daemon {
    explicit Daemon(ControlLimits limits = ControlLimits())
        : socket(ControlSocket::open(
              path, reactor,
              [this](const std::string& command, const json& arguments) -> json {
                  ++asked;
                  if (command == "large") return {{"large", std::string(large, 'x')}};
                  return {{"command", command}, {"arguments", arguments}};
              },
              limits))
    {
        INFO((socket ? "" : socket.error().what));
        REQUIRE(socket);
    }
    ControlStatistics statistics() const { return socket->statistics(); }

    TemporaryDirectory folder;
    std::string path = folder / "control.sock";
    Reactor reactor;
    int asked = 0;
    std::size_t large = 4u << 20;
    Result<ControlSocket> socket;
};

std::string kind_of(const std::string& answer)
{
    const auto parsed = json::parse(answer, nullptr, false);
    return parsed.is_object() && parsed.contains("error") ? parsed.value("kind", "") : "no error: " + answer;
}

ControlLimits with_patience(std::uint64_t patience_ns)
{
    ControlLimits limits;
    limits.patience_ns = patience_ns;
    return limits;
}

}  // namespace

TEST_CASE("a request is answered by one line and the end of the connection")
{
    Daemon daemon;
    ClientEnd client(daemon.path);
    REQUIRE(client.send(R"({"command":"dump","seconds":60})"
                        "\n"));
    CHECK(client.answer(daemon.reactor) == R"({"arguments":{"seconds":60},"command":"dump"})"
                                           "\n");
    CHECK(daemon.statistics().answered == 1);
    CHECK(daemon.socket->clients() == 0);
}

TEST_CASE("a request may come in pieces")
{
    Daemon daemon;
    ClientEnd client(daemon.path);
    for (const char* piece : {R"({"comm)", R"(and":"sta)", R"(tus"})"}) {
        REQUIRE(client.send(piece));
        daemon.reactor.wait_until(monotonic_ns() + short_ns);
        CHECK(daemon.asked == 0);
    }
    REQUIRE(client.send("\n"));
    CHECK(json::parse(client.answer(daemon.reactor))["command"] == "status");
}

TEST_CASE("a client that sends no request is dropped in time, and holds up no other")
{
    Daemon daemon(with_patience(4 * short_ns));
    ClientEnd silent(daemon.path), half(daemon.path);
    REQUIRE(half.send(R"({"command":)"));
    daemon.reactor.wait_until(monotonic_ns() + short_ns);
    ClientEnd other(daemon.path);
    REQUIRE(other.send("{\"command\":\"status\"}\n"));
    CHECK(json::parse(other.answer(daemon.reactor))["command"] == "status");
    CHECK(kind_of(silent.answer(daemon.reactor)) == "timed_out");
    CHECK(kind_of(half.answer(daemon.reactor)) == "timed_out");
    CHECK(daemon.statistics().timed_out == 2);
    CHECK(daemon.socket->clients() == 0);
}

TEST_CASE("more clients at once than have room are refused")
{
    Daemon daemon(with_patience(long_ns));
    std::list<ClientEnd> clients;
    for (int each = 0; each < 16; ++each) {
        REQUIRE(clients.emplace_back(daemon.path).connected());
        daemon.reactor.wait_until(monotonic_ns() + short_ns);
    }
    CHECK(daemon.socket->clients() == 16);
    ClientEnd more(daemon.path);
    CHECK(kind_of(more.answer(daemon.reactor)) == "busy");
    CHECK(daemon.statistics().refused == 1);
    clients.front().close();
    CHECK(turn_until(daemon.reactor, [&] { return daemon.socket->clients() == 15; }));
    ClientEnd later(daemon.path);
    REQUIRE(later.send("{\"command\":\"status\"}\n"));
    CHECK(json::parse(later.answer(daemon.reactor))["command"] == "status");
}

TEST_CASE("a client that connects without end has so many connections accepted in a window, and no more")
{
    ControlLimits limits;
    limits.most_accepts = 20;
    limits.accept_window_ns = 4 * short_ns;
    Daemon daemon(limits);
    const auto began = monotonic_ns();
    std::uint64_t connections = 0;
    while (monotonic_ns() < began + 10 * limits.accept_window_ns) {
        connections += ClientEnd(daemon.path).connected();
        daemon.reactor.wait_until(monotonic_ns() + 100'000);
    }
    const auto windows = (monotonic_ns() - began) / limits.accept_window_ns + 1;
    CHECK(daemon.statistics().accepted <= windows * limits.most_accepts);
    CHECK(daemon.statistics().accepted >= 4 * limits.most_accepts);
    CHECK(daemon.statistics().throttled >= 4);
    // Those that left wait in the kernel's queue ahead of it.
    ClientEnd honest(daemon.path);
    if (!honest.connected()) {
        REQUIRE(turn_until(daemon.reactor, [&] { return (honest = ClientEnd(daemon.path)).connected(); }));
    }
    REQUIRE(honest.send("{\"command\":\"status\"}\n"));
    CHECK(json::parse(honest.answer(daemon.reactor))["command"] == "status");
}

TEST_CASE("what is no request is an error, and is not answered")
{
    Daemon daemon;
    const std::string longest = R"({"command":"x","text":")" + std::string(5000, 'x') + "\"}\n";
    for (const auto& line : {std::string("status\n"), std::string("[1]\n"), std::string("{\"command\":1}\n"),
                             std::string("{}\n"), std::string("\n"), std::string(4000, '[') + "\n", longest}) {
        ClientEnd client(daemon.path);
        REQUIRE(client.send(line));
        CHECK(kind_of(client.answer(daemon.reactor)) == "malformed");
    }
    ClientEnd half(daemon.path);
    REQUIRE(half.send(R"({"command":"status"})"));
    half.end_of_requests();
    CHECK(kind_of(half.answer(daemon.reactor)) == "malformed");
    CHECK(daemon.statistics().malformed == 8);
    CHECK(daemon.asked == 0);
    CHECK(daemon.socket->clients() == 0);
}

TEST_CASE("a client that connects and leaves is no error")
{
    Daemon daemon;
    ClientEnd(daemon.path).close();
    CHECK(turn_until(daemon.reactor, [&] { return daemon.statistics().accepted == 1; }));
    CHECK(turn_until(daemon.reactor, [&] { return daemon.socket->clients() == 0; }));
    CHECK(daemon.statistics().malformed == 0);
}

TEST_CASE("a slow reader gets an answer of 4 MiB whole, while others are answered")
{
    Daemon daemon(with_patience(long_ns));
    ClientEnd slow(daemon.path);
    REQUIRE(slow.send("{\"command\":\"large\"}\n"));
    for (int turn = 0; !slow.ended() && turn < 100'000; ++turn) {
        daemon.reactor.wait_until(monotonic_ns());
        slow.read(10'007);
        if (turn % 100 != 0) continue;
        ClientEnd other(daemon.path);
        REQUIRE(other.send("{\"command\":\"status\"}\n"));
        daemon.reactor.wait_until(monotonic_ns());
        daemon.reactor.wait_until(monotonic_ns());
        CHECK(json::parse(other.answer(daemon.reactor))["command"] == "status");
    }
    REQUIRE(slow.ended());
    REQUIRE(slow.got().size() == daemon.large + std::string("{\"large\":\"\"}\n").size());
    CHECK(json::parse(slow.got())["large"] == std::string(daemon.large, 'x'));
}

TEST_CASE("a client that does not read its answer is dropped in time")
{
    Daemon daemon(with_patience(2 * short_ns));
    ClientEnd client(daemon.path);
    REQUIRE(client.send("{\"command\":\"large\"}\n"));
    CHECK(turn_until(daemon.reactor, [&] { return daemon.statistics().timed_out == 1; }));
    CHECK(daemon.socket->clients() == 0);
    CHECK(daemon.statistics().answered == 0);
}

TEST_CASE("answers that are not read yet take so much memory, and no more")
{
    auto limits = with_patience(long_ns);
    limits.most_pending_bytes = 4u << 20;
    Daemon daemon(limits);
    ClientEnd first(daemon.path), second(daemon.path), third(daemon.path);
    for (const auto* client : {&first, &second}) {
        REQUIRE(client->send("{\"command\":\"large\"}\n"));
        turn_until(daemon.reactor, [&] { return daemon.asked == (client == &first ? 1 : 2); });
    }
    REQUIRE(third.send("{\"command\":\"large\"}\n"));
    CHECK(kind_of(third.answer(daemon.reactor)) == "busy");
    CHECK(daemon.asked == 2);
}

TEST_CASE("an answer with bytes that are no UTF-8 is sent")
{
    TemporaryDirectory folder;
    Reactor reactor;
    const auto socket = ControlSocket::open(folder / "s", reactor, [](const std::string&, const json&) -> json {
        return {{"name", "a\xff"}};
    });
    REQUIRE(socket);
    ClientEnd client(folder / "s");
    REQUIRE(client.send("{\"command\":\"status\"}\n"));
    CHECK(client.answer(reactor) == "{\"name\":\"a\xef\xbf\xbd\"}\n");
}

TEST_CASE("without a descriptor for another client the daemon does not spin, and accepts later")
{
    ControlLimits limits;
    limits.accept_window_ns = 2 * short_ns;
    Daemon daemon(limits);
    ClientEnd client(daemon.path);
    REQUIRE(client.send("{\"command\":\"status\"}\n"));
    rlimit before = {};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit none = {3, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK(turn_until(daemon.reactor, [&] { return daemon.statistics().throttled == 1; }));
    for (int turn = 0; turn < 20; ++turn) daemon.reactor.wait_until(monotonic_ns() + 10'000'000);
    const auto throttled = daemon.statistics().throttled;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(throttled <= 4);
    CHECK(json::parse(client.answer(daemon.reactor))["command"] == "status");
}
