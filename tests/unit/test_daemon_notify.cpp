// SPDX-License-Identifier: Apache-2.0
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "daemon/notify.hpp"
#include "temporary_directory.hpp"
#include "util/fd.hpp"
#include "util/wall_clock.hpp"

using namespace loopwatch;

namespace {

// The variable of one test, gone at its end.
struct Variable {
    Variable(const char* of, const std::string& value) : name(of) { ::setenv(name, value.c_str(), 1); }
    ~Variable() { ::unsetenv(name); }
    const char* name;
};

// A service manager's end: a path, or "@name".
struct Manager {
    explicit Manager(const std::string& name) : socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        name.copy(address.sun_path, sizeof address.sun_path - 1);
        if (name[0] == '@') address.sun_path[0] = '\0';
        const auto size = offsetof(sockaddr_un, sun_path) + name.size();
        const auto* const generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
        REQUIRE(::bind(socket.raw(), generic, static_cast<socklen_t>(size)) == 0);
    }
    // "" without one.
    std::string message() const
    {
        char text[4096];
        const auto size = ::recv(socket.raw(), text, sizeof text, MSG_DONTWAIT);
        return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
    }
    Fd socket;
};

}  // namespace

TEST_CASE("a service manager is sent each state, at a path and at an abstract name")
{
    const TemporaryDirectory folder;
    for (const auto& name : {folder / "notify", "@loopwatch-test-" + std::to_string(::getpid())}) {
        const Manager manager(name);
        const Variable socket("NOTIFY_SOCKET", name);
        const auto notify = Notify::open();
        REQUIRE(notify.enabled());
        notify.ready("watching 3 processes");
        CHECK(manager.message() == "READY=1\nSTATUS=watching 3 processes");
        notify.status("watching 4 processes");
        CHECK(manager.message() == "STATUS=watching 4 processes");
        notify.watchdog();
        CHECK(manager.message() == "WATCHDOG=1");
        notify.stopping();
        CHECK(manager.message() == "STOPPING=1");
        CHECK(manager.message().empty());
    }
}

TEST_CASE("a reload carries the time of the monotonic clock")
{
    const TemporaryDirectory folder;
    const Manager manager(folder / "notify");
    const Variable socket("NOTIFY_SOCKET", folder / "notify");
    const auto before = monotonic_ns() / 1000;
    Notify::open().reloading();
    const std::string prefix = "RELOADING=1\nMONOTONIC_USEC=", message = manager.message();
    REQUIRE(message.starts_with(prefix));
    const auto usec = std::stoull(message.substr(prefix.size()));
    CHECK(usec >= before);
    CHECK(usec <= monotonic_ns() / 1000);
}

TEST_CASE("a status with line breaks adds no assignment")
{
    const TemporaryDirectory folder;
    const Manager manager(folder / "notify");
    const Variable socket("NOTIFY_SOCKET", folder / "notify");
    Notify::open().status("process a\nSTOPPING=1\tx");
    CHECK(manager.message() == "STATUS=process a STOPPING=1 x");
}

TEST_CASE("without a manager, or with one that is gone or cannot be reached, notifying does nothing")
{
    ::unsetenv("NOTIFY_SOCKET");
    CHECK_FALSE(Notify::open().enabled());
    Notify::open().ready("x");
    for (const auto& name : {std::string(), std::string("@"), std::string("vsock:2:1"), std::string(200, '/')}) {
        const Variable socket("NOTIFY_SOCKET", name);
        CHECK_FALSE(Notify::open().enabled());
    }
    const Variable socket("NOTIFY_SOCKET", "/nonexistent/notify");
    const auto notify = Notify::open();
    notify.ready("x");
    notify.watchdog();
}

TEST_CASE("a manager that was started again gets what follows")
{
    const TemporaryDirectory folder;
    const Variable socket("NOTIFY_SOCKET", folder / "notify");
    const auto notify = Notify::open();
    {
        const Manager first(folder / "notify");
        notify.watchdog();
        CHECK(first.message() == "WATCHDOG=1");
    }
    ::unlink((folder / "notify").c_str());
    const Manager second(folder / "notify");
    notify.watchdog();
    CHECK(second.message() == "WATCHDOG=1");
}

TEST_CASE("a manager that reads nothing holds up no sign of life, and a change of state for 1 s")
{
    const TemporaryDirectory folder;
    const Manager manager(folder / "notify");
    const Variable socket("NOTIFY_SOCKET", folder / "notify");
    const auto notify = Notify::open();
    const auto began = monotonic_ns();
    for (int i = 0; i < 10'000; ++i) notify.watchdog();
    notify.stopping();
    const auto took = monotonic_ns() - began;
    CHECK(took > 500'000'000);
    CHECK(took < 10'000'000'000);
}

TEST_CASE("the watchdog's interval is this process's own, or none")
{
    using namespace std::chrono_literals;
    ::unsetenv("WATCHDOG_PID");
    CHECK_FALSE(Notify::watchdog_interval());
    {
        const Variable usec("WATCHDOG_USEC", "30000000");
        CHECK(Notify::watchdog_interval() == std::optional<std::chrono::nanoseconds>(30s));
        const Variable own("WATCHDOG_PID", std::to_string(::getpid()));
        CHECK(Notify::watchdog_interval() == std::optional<std::chrono::nanoseconds>(30s));
        const Variable other("WATCHDOG_PID", std::to_string(::getppid()));
        CHECK_FALSE(Notify::watchdog_interval());
    }
    for (const auto* bad : {"", "0", "-1", "30s", "18446744073709551615"}) {
        const Variable usec("WATCHDOG_USEC", bad);
        CHECK_FALSE(Notify::watchdog_interval());
    }
}
