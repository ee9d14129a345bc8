// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <string>

#include "daemon/config_values.hpp"
#include "daemon/secret.hpp"
#include "temporary_directory.hpp"

using namespace loopwatch;

TEST_CASE("a secret is read from a file that its owner alone may read, or from the environment")
{
    const TemporaryDirectory directory;
    const auto file = directory / "secret";
    std::ofstream(file) << "pass word\r\n\n";
    REQUIRE(::chmod(file.c_str(), 0600) == 0);
    CHECK(*read_secret(file) == "pass word");
    for (const mode_t mode : {0640, 0604, 0660, 0602, 0610}) {
        REQUIRE(::chmod(file.c_str(), mode) == 0);
        CHECK(read_secret(file).error().hint == "chmod 600 " + file);
    }
    ::setenv("LOOPWATCH_TEST_SECRET", "word", 1);
    CHECK(*read_secret("env:LOOPWATCH_TEST_SECRET") == "word");
    ::setenv("LOOPWATCH_TEST_SECRET", "", 1);
    CHECK(read_secret("env:LOOPWATCH_TEST_SECRET").error().what == "the secret in env:LOOPWATCH_TEST_SECRET is empty");
    ::unsetenv("LOOPWATCH_TEST_SECRET");
    CHECK(read_secret("env:LOOPWATCH_TEST_SECRET").error().what == "the environment has no LOOPWATCH_TEST_SECRET");
    CHECK(read_secret("hunter2").error().what == "a secret is never written here");
    CHECK_FALSE(read_secret(directory / "none"));
    CHECK_FALSE(read_secret(directory / "."));
    std::ofstream(directory / "large") << std::string(65'537, 'x');
    REQUIRE(::chmod((directory / "large").c_str(), 0600) == 0);
    CHECK_FALSE(read_secret(directory / "large"));
    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    CHECK_FALSE(read_secret(directory / "fifo"));
    ConfigProblems problems("f");
    std::string kept;
    ConfigNode node;
    node.text = "hunter2";
    read_secret_place(node, kept, problems);
    REQUIRE(problems.all().size() == 1);
    CHECK(problems.all().front().line().find("hunter2") == std::string::npos);
}
