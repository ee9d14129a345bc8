// SPDX-License-Identifier: Apache-2.0
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "command/control_client.hpp"
#include "command/core_confinement.hpp"
#include "control_client_end.hpp"
#include "daemon/control_socket.hpp"
#include "daemon/notify.hpp"
#include "stack/confinement.hpp"
#include "temporary_directory.hpp"
#include "util/fd.hpp"

using namespace loopwatch;
using nlohmann::json;

namespace {

// In a child: what is confined is confined for good. Answers one request; its exit status is what was wrong, 0:
// nothing.
int answer_confined(const std::string& path, CoreWork work, int ready)
{
    Reactor reactor;
    const auto notify = Notify::open();
    bool answered = false;
    auto socket = ControlSocket::open(path, reactor, [&](const std::string&, const json&) -> json {
        notify.status("answered");
        answered = true;
        return {{"healthy", true}};
    });
    if (!socket || !confine_core(work, false)) return 1;
    if (::write(ready, "x", 1) != 1) return 2;
    const bool made_socket = ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
    if (!sanitized && can_filter_system_calls() && (made_socket || errno != EPERM)) return 3;
    const auto until = monotonic_ns() + 3'000'000'000;
    while (monotonic_ns() < until && (!answered || socket->clients() > 0))
        reactor.wait_until(monotonic_ns() + 10'000'000);
    return answered ? 0 : 4;
}

struct ConfinedAnswer {
    int status;
    bool answered;
    std::string notified;
};

ConfinedAnswer ask_confined(CoreWork work)
{
    const TemporaryDirectory folder;
    const Fd manager(::socket(AF_UNIX, SOCK_DGRAM, 0));
    const auto name = socket_address(folder / "notify");
    REQUIRE(::bind(manager.raw(), generic(name), sizeof name) == 0);
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::setenv("NOTIFY_SOCKET", (folder / "notify").c_str(), 1);
        ::_exit(answer_confined(folder / "s", work, ready[1]));
    }
    ::close(ready[1]);
    char byte;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    ::close(ready[0]);
    ClientEnd client(folder / "s");
    REQUIRE(client.send("{\"command\":\"status\"}\n"));
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    client.read();
    char text[64];
    const auto size = ::recv(manager.raw(), text, sizeof text, MSG_DONTWAIT);
    return {WEXITSTATUS(status), client.got() == "{\"healthy\":true}\n",
            size < 0 ? "" : std::string(text, static_cast<std::size_t>(size))};
}

}  // namespace

TEST_CASE("a confined daemon answers on its control socket and notifies its manager, and makes no other socket")
{
    const auto answer = ask_confined(CoreWork::daemon);
    CHECK(answer.status == 0);
    CHECK(answer.answered);
    CHECK(answer.notified == "STATUS=answered");
}

TEST_CASE("another confined session accepts no connection")
{
    if (sanitized || !can_filter_system_calls()) return;
    const auto answer = ask_confined(CoreWork::kernel_side);
    CHECK(answer.status == 4);
    CHECK_FALSE(answer.answered);
}
