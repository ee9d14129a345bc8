// SPDX-License-Identifier: Apache-2.0
#include "helpers.hpp"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "provocations.hpp"

namespace {

// State letter of a thread of this process: behind the last parenthesis of its stat line.
char state_of(pid_t tid)
{
    std::ifstream in("/proc/self/task/" + std::to_string(tid) + "/stat");
    std::string line;
    std::getline(in, line);
    const auto name_end = line.rfind(')');
    return name_end == std::string::npos || name_end + 2 >= line.size() ? '?' : line[name_end + 2];
}

}  // namespace

Rescuer::Rescuer(std::function<void()> act, std::function<void()> prepare)
{
    std::latch prepared(1);
    thread_ = std::jthread([&, act = std::move(act), sleeper = gettid()] {
        prepare();
        prepared.count_down();
        while (state_of(sleeper) != 'S') std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::nanoseconds(block_ns));
        act();
    });
    prepared.wait();
}

Ends::~Ends()
{
    close(in);
    close(out);
}

Ends pipe_ends()
{
    int fds[2];
    if (pipe(fds) != 0) std::abort();
    return {fds[0], fds[1]};
}

Ends socket_ends()
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) std::abort();
    return {fds[0], fds[1]};
}

void fill(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    const char page[4096] = {};
    while (write(fd, page, sizeof page) > 0) {
    }
    while (write(fd, page, 1) > 0) {
    }
    fcntl(fd, F_SETFL, flags);
}

void drain(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    char page[4096];
    while (read(fd, page, sizeof page) > 0) {
    }
    fcntl(fd, F_SETFL, flags);
}

std::string scratch(const std::string& name)
{
    static const std::string directory = [] {
        char pattern[] = "/tmp/lw-preload-XXXXXX";
        if (mkdtemp(pattern) == nullptr) std::abort();
        static std::string made = pattern;
        std::atexit([] { std::filesystem::remove_all(made); });
        return made;
    }();
    return directory + "/" + name;
}
