// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <thread>

#include "command/cli.hpp"
#include "command/control_client.hpp"
#include "command/json_text.hpp"
#include "control_client_end.hpp"
#include "daemon/control_socket.hpp"
#include "temporary_directory.hpp"

using namespace loopwatch;
using nlohmann::json;

namespace {

// A daemon with one answer to everything, on a thread of its own.
class AnsweringDaemon {
public:
    explicit AnsweringDaemon(const std::string& text)
    {
        const auto answer = json::parse(text);
        auto opened = ControlSocket::open(path, reactor_, [this, answer](const std::string& command, const json& rest) {
            asked = command + rest.dump();
            return answer;
        });
        REQUIRE(opened);
        thread_ = std::thread([this, socket = std::move(*opened)]() mutable {
            const ControlSocket kept = std::move(socket);
            while (!over_) reactor_.wait_until(monotonic_ns() + 1'000'000);
        });
    }
    ~AnsweringDaemon()
    {
        over_ = true;
        thread_.join();
    }

    TemporaryDirectory folder;
    std::string path = folder / "control.sock";
    std::string asked;  // of the last request, once it is answered

private:
    Reactor reactor_;
    std::atomic<bool> over_ = false;  // by the test's thread
    std::thread thread_;
};

// The exit status and what is written.
std::pair<int, std::string> query(const AnsweringDaemon& daemon, std::vector<std::string> words)
{
    const auto file = daemon.folder / "answer";
    if (words[0] == "dump") words.insert(words.end(), {"-o", file});
    words.insert(words.begin(), "loopwatch");
    words.insert(words.end(), {"--socket", daemon.path});
    std::vector<const char*> arguments;
    for (const auto& word : words) arguments.push_back(word.c_str());
    const auto status = run_command_line(static_cast<int>(arguments.size()), arguments.data());
    if (!status) return {static_cast<int>(status.error().code), status.error().what};
    return {*status, words[1] == "dump" ? content(file) : ""};
}

}  // namespace

TEST_CASE("status is 0 of a healthy daemon, and 1 of another")
{
    CHECK(query(AnsweringDaemon(R"({"healthy":true})"), {"status"}).first == 0);
    CHECK(query(AnsweringDaemon(R"({"healthy":false})"), {"status", "--format", "json"}).first == 1);
    CHECK(query(AnsweringDaemon(R"({"healthy":false})"), {"targets"}).first == 0);
    CHECK(query(AnsweringDaemon(R"({"targets":3})"), {"status"}).first == 0);
}

TEST_CASE("each command asks for what its name is, and dump writes a file")
{
    const AnsweringDaemon daemon(R"({"records":[{"a":1}]})");
    for (const std::string name : {"status", "targets", "reload", "dump"}) {
        CHECK(query(daemon, {name}).first == 0);
        CHECK(daemon.asked == name + "{}");
    }
    CHECK(query(daemon, {"dump"}).second == "{\"records\":[{\"a\":1}]}\n");
    CHECK(query(daemon, {"dump", "--format", "text"}).second == "records: 1\n  a\n  1\n");
}

TEST_CASE("an error of the daemon is one here, with its hint")
{
    const AnsweringDaemon daemon(R"({"error":"config line 3","hint":"mend it"})");
    const auto answer = ask_daemon(daemon.path, "reload", json::object());
    REQUIRE_FALSE(answer);
    CHECK(answer.error().code == ExitCode::failed);
    CHECK(answer.error().what == "daemon: config line 3");
    CHECK(answer.error().hint == "mend it");
    const AnsweringDaemon refusing(R"({"error":"no","kind":"not_permitted"})");
    CHECK(ask_daemon(refusing.path, "status", json::object()).error().code == ExitCode::not_permitted);
}

TEST_CASE("an answer of 8 MiB arrives whole")
{
    const std::string large(8u << 20, 'x');
    const AnsweringDaemon daemon("{\"large\":\"" + large + "\"}");
    const auto answer = ask_daemon(daemon.path, "dump", {{"seconds", 60}});
    REQUIRE(answer);
    CHECK((*answer)["large"] == large);
    CHECK(daemon.asked == "dump{\"seconds\":60}");
}

TEST_CASE("without a daemon the error says how to start it")
{
    const TemporaryDirectory folder;
    for (const bool left : {false, true}) {  // nothing there, and the socket of one that was killed
        const Fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
        const auto address = socket_address(folder / "s");
        if (left) REQUIRE(::bind(dead.raw(), generic(address), sizeof address) == 0);
        const auto answer = ask_daemon(folder / "s", "status", json::object());
        REQUIRE_FALSE(answer);
        CHECK(answer.error().code == ExitCode::no_such_target);
        CHECK(answer.error().what == "no loopwatch daemon answers at " + (folder / "s"));
        CHECK(answer.error().hint.find("systemctl start loopwatch") != std::string::npos);
    }
}

TEST_CASE("an answer that is cut off, or no JSON, is an error")
{
    const TemporaryDirectory folder;
    const Fd listening(::socket(AF_UNIX, SOCK_STREAM, 0));
    const auto address = socket_address(folder / "s");
    REQUIRE(::bind(listening.raw(), generic(address), sizeof address) == 0);
    REQUIRE(::listen(listening.raw(), 1) == 0);
    for (const std::string text : {"", "{\"healthy\":true", "{\"healthy\":true}", "[1]\n", "no\n"}) {
        std::thread broken([&] {
            const Fd connection(::accept(listening.raw(), nullptr, nullptr));
            (void)::send(connection.raw(), text.data(), text.size(), MSG_NOSIGNAL);
        });
        const auto answer = ask_daemon(folder / "s", "status", json::object());
        broken.join();
        REQUIRE_FALSE(answer);
        CHECK(answer.error().what == "the daemon's answer is not complete");
    }
}

TEST_CASE("an answer as text: lines, then tables; strings do no harm")
{
    const auto answer = json::parse(R"({"healthy": true, "memory": {"rss_bytes": 12, "maps": {}}, "name": "a\u001b[31m",
        "none": null, "warnings": ["one", "two"], "empty": [],
        "targets": [{"pid": 4711, "comm": "größe"}, {"pid": 5, "comm": "x", "tier": 3}, 7]})");
    CHECK(json_as_text(answer) ==
          "empty: -\n"
          "healthy: yes\n"
          "memory.maps: -\n"
          "memory.rss_bytes: 12\n"
          "name: a\\x1b[31m\n"
          "none: -\n"
          "warnings: one, two\n"
          "targets: 3\n"
          "  comm   pid   tier  value\n"
          "  größe  4711  -     -\n"
          "  x      5     3     -\n"
          "  -      -     -     7\n");
}
