// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "attach/published_context.hpp"
#include "util/fd.hpp"

using namespace loopwatch;

namespace {

// The fixture, from when on it has published until the end of the object.
class Published {
public:
    explicit Published(std::vector<const char*> arguments)
    {
        const auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "../fixtures/published";
        int ends[2] = {};
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        const Fd read_end(ends[0]);
        Fd write_end(ends[1]);
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, write_end.raw(), STDOUT_FILENO);
        arguments.insert(arguments.begin(), program.c_str());
        arguments.push_back(nullptr);
        const int error =
            ::posix_spawn(&pid, program.c_str(), &actions, nullptr, const_cast<char**>(arguments.data()), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        REQUIRE(error == 0);
        write_end.reset();
        char word[16] = {};
        const auto got = ::read(read_end.raw(), word, sizeof word - 1);
        REQUIRE((got > 0 && std::string(word) == "published\n"));
    }
    Published(const Published&) = delete;
    Published& operator=(const Published&) = delete;
    ~Published()
    {
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }
    pid_t pid = 0;
};

}  // namespace

TEST_CASE("what a process publishes is read from outside")
{
    const Published published({"orders", "1.2"});
    const auto payload = published_context(published.pid);
    REQUIRE(payload);
    CHECK(payload->published_ns != 0);
    const auto attributes = parse_process_context(payload->bytes);
    REQUIRE(attributes);
    CHECK(context_attribute(*attributes, "service.name") == "orders");
    CHECK(context_attribute(*attributes, "service.version") == "1.2");
}

TEST_CASE("a process that publishes nothing, or has ended, has no context")
{
    CHECK_FALSE(published_context(::getpid()));
    pid_t ended = 0;
    {
        const Published published({"orders", "1.2"});
        ended = published.pid;
    }
    CHECK_FALSE(published_context(ended));
}
