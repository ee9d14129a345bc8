// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <thread>

#include "target/labels.hpp"
#include "target/listening_ports.hpp"
#include "target/process.hpp"
#include "target/process_identity.hpp"
#include "util/fd.hpp"

using namespace loopwatch;

namespace {

// A process that waits until it is ended with the object.
class Waiting {
public:
    explicit Waiting(std::vector<const char*> arguments, std::vector<const char*> variables = {})
    {
        arguments.push_back(nullptr);
        variables.push_back(nullptr);
        REQUIRE(::posix_spawn(&pid, arguments.front(), nullptr, nullptr, const_cast<char**>(arguments.data()),
                              const_cast<char**>(variables.data())) == 0);
        // posix_spawn(3) returns within execve(2), before the kernel has put the arguments in their place.
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (!sleeps() && std::chrono::steady_clock::now() < end) ::sched_yield();
        REQUIRE(sleeps());
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting()
    {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }
    pid_t pid = 0;

private:
    bool sleeps() const
    {
        const auto stat = read_proc(pid, "stat", 4096).value_or("");
        const auto close = stat.rfind(')');
        return close != stat.npos && stat.substr(close + 1, 2) == " S" &&
               !read_proc(pid, "cmdline", 64).value_or("").empty();
    }
};

std::uint16_t port_of(const Fd& fd)
{
    sockaddr_in at = {};
    socklen_t size = sizeof at;
    REQUIRE(::getsockname(fd.raw(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    return ntohs(at.sin_port);
}

}  // namespace

TEST_CASE("this process is known by its own words")
{
    const auto identity = read_identity(::getpid(), IdentityFields::all());
    REQUIRE(identity);
    CHECK(identity->pid == ::getpid());
    CHECK(identity->start_time != 0);
    CHECK(identity->exe.ends_with("/test_target"));
    CHECK(identity->comm == "test_target");
    CHECK(identity->cmdline.find("test_target") != std::string::npos);
    CHECK(identity->uid == ::getuid());
    CHECK(identity->user == local_user_name(::getuid()));
    CHECK_FALSE(identity->cgroup.empty());
}

TEST_CASE("only what was asked for is read")
{
    IdentityFields fields;
    fields.add(IdentityField::comm);
    const auto identity = read_identity(::getpid(), fields);
    REQUIRE(identity);
    CHECK(identity->comm == "test_target");
    CHECK((identity->exe + identity->cmdline + identity->user + identity->cgroup).empty());
}

TEST_CASE("a command line has spaces between its arguments, and 4,096 bytes at most")
{
    const std::string longest(10'000, '0');
    const Waiting sleeper({"/bin/sleep", "1000", "0"});
    CHECK(read_identity(sleeper.pid, IdentityFields::all())->cmdline == "/bin/sleep 1000 0");
    const Waiting waiting({"/bin/sleep", "1000", longest.c_str()});
    CHECK(read_identity(waiting.pid, IdentityFields::all())->cmdline.size() <= 4096);
}

TEST_CASE("a process that has ended, and a thread, have no identity")
{
    pid_t ended = 0;
    {
        const Waiting waiting({"/bin/sleep", "1000"});
        ended = waiting.pid;
    }
    CHECK_FALSE(read_identity(ended, IdentityFields::all()));
    CHECK_FALSE(read_identity(0, IdentityFields::all()));
    std::thread([] { CHECK_FALSE(read_identity(::gettid(), IdentityFields::all())); }).join();
}

TEST_CASE("users are named from the local file")
{
    CHECK(local_user_name(0) == "root");
    CHECK(local_user_name(4'000'000'000u).empty());
}

TEST_CASE("the ports that a process listens on are its own, and no others")
{
    const Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::listen(listening.raw(), 1) == 0);  // the kernel chooses a port
    const auto port = port_of(listening);
    CHECK(std::ranges::count(listening_ports(::getpid()), port) == 1);
    const Waiting waiting({"/bin/sleep", "1000"});
    CHECK(listening_ports(waiting.pid).empty());
}

TEST_CASE("a table of sockets is read as far as it is one")
{
    const std::string table =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0\n"
        "   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0\n"
        "   2: 0100007F:0051 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 111 1 0\n"
        "   3: 00000000000000000000000001000000:01BB 0:0000 0A 0:0 00:0 0     0        0 333 1 0\n"
        "   4: 00000000 00000000:0000 0A 0:0 00:0 0 0 0 111\n"
        "   5: 00000000:99999 00000000:0000 0A 0:0 00:0 0 0 0 111\n"
        "garbage\n\n";
    const std::uint64_t inodes[] = {111, 333};
    CHECK(listening_ports_in(table, inodes) == std::vector<std::uint16_t>{443, 8080});
    CHECK(listening_ports_in("", inodes).empty());
}

TEST_CASE("of a process's environment only the listed names are read")
{
    const Waiting waiting({"/bin/sleep", "1000"}, {"SECRET=x", "DD_SERVICE=orders", "DD_VERSION=3"});
    CHECK(read_listed_environment(waiting.pid) == ListedEnvironment{"", "orders", "3", "", "", "", "", false});
    CHECK(read_listed_environment(0) == ListedEnvironment{});
}
