// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "output/output.hpp"
#include "temporary_directory.hpp"

using namespace loopwatch;

namespace {

// Runs `body` in a child with stdout replaced, as its state (descriptors, limits, mounts) must not leak into other
// tests. Returns its exit code, 128 + signal if it was killed.
template <class Body>
int in_child(Body body)
{
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

constexpr int skipped = 77;

// Which error a write to this stdout gives: 0 none, 1 as expected, 2 other.
int write_to_stdout(int descriptor, const char* expected)
{
    ::dup2(descriptor, STDOUT_FILENO);
    auto output = Output::open("-");
    if (!output) return 3;
    const auto written = output->write_lines("one line\n");
    if (written) return 0;
    const bool right = written.error().what.find(expected) != std::string::npos && !written.error().hint.empty() &&
                       written.error().code == ExitCode::failed;
    return right ? 1 : 2;
}

void check_refused(const std::string& path, const std::string& why)
{
    const auto output = Output::open(path);
    REQUIRE_FALSE(output);
    CHECK(output.error().code == ExitCode::failed);
    CHECK_THAT(output.error().what, Catch::Contains(path) && Catch::Contains(why));
    CHECK_FALSE(output.error().hint.empty());
}

}  // namespace

TEST_CASE("a report is for its owner alone, and another file for whom the umask leaves it")
{
    const TemporaryDirectory directory;
    const auto before = ::umask(022);
    const auto report = Output::open(directory / "report");
    const auto baseline = Output::open(directory / "baseline", 0666);
    ::umask(before);
    REQUIRE((report && baseline));
    struct stat info = {};
    REQUIRE(::fstat(report->descriptor(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    REQUIRE(::fstat(baseline->descriptor(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0644);
}

TEST_CASE("a file that another session writes is refused")
{
    const TemporaryDirectory directory;
    const auto first = Output::open(directory / "report");
    REQUIRE(first);
    const auto second = Output::open(directory / "report");
    REQUIRE_FALSE(second);
    CHECK(second.error().what.find("another loopwatch is writing it") != std::string::npos);
}

TEST_CASE("a file is created for its owner alone, and overwritten the next time")
{
    const TemporaryDirectory directory;
    const std::string path = directory / "report";
    {
        auto output = Output::open(path);
        REQUIRE(output);
        CHECK(output->write_lines("first\nsecond\n"));
        CHECK_FALSE(output->is_terminal());
    }
    CHECK(content(path) == "first\nsecond\n");
    struct stat file {};
    REQUIRE(::stat(path.c_str(), &file) == 0);
    CHECK((file.st_mode & 07777) == 0600);
    auto again = Output::open(path);
    REQUIRE(again);
    CHECK(again->write_lines("x\n"));
    CHECK(content(path) == "x\n");
}

TEST_CASE("what others may have prepared is refused, and stays as it was")
{
    const TemporaryDirectory directory;
    const std::string victim = directory / "victim";
    std::ofstream(victim) << "precious";

    SECTION("a symbolic link")
    {
        REQUIRE(::symlink(victim.c_str(), (directory / "link").c_str()) == 0);
        check_refused(directory / "link", "symbolic link");
    }
    SECTION("a symbolic link to nothing")
    {
        REQUIRE(::symlink((directory / "new").c_str(), (directory / "link").c_str()) == 0);
        check_refused(directory / "link", "symbolic link");
        CHECK(::access((directory / "new").c_str(), F_OK) != 0);
    }
    SECTION("a symbolic link on the way")
    {
        REQUIRE(::mkdir((directory / "real").c_str(), 0700) == 0);
        REQUIRE(::symlink((directory / "real").c_str(), (directory / "link").c_str()) == 0);
        check_refused(directory / "link/report", "through a symbolic link");
        const auto output = Output::open(directory / "link/report");
        CHECK_THAT(output.error().hint, Catch::Contains(directory / "real/report"));
    }
    SECTION("a hard link")
    {
        REQUIRE(::link(victim.c_str(), (directory / "link").c_str()) == 0);
        check_refused(directory / "link", "hard links");
    }
    SECTION("a FIFO that nobody reads")
    {
        REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
        check_refused(directory / "fifo", "nothing reads the FIFO");
    }
    SECTION("a directory, a socket, no directory")
    {
        check_refused(directory / "", "no file name");
        REQUIRE(::mkdir((directory / "d").c_str(), 0700) == 0);
        check_refused(directory / "d", "not a file");
        check_refused(directory / "absent/report", "No such file");
        check_refused("", "no file name");
    }
    CHECK(content(victim) == "precious");
}

TEST_CASE("a character device, a FIFO and a descriptor of the caller's are written to")
{
    const TemporaryDirectory directory;
    {
        const auto first = Output::open("/dev/null");
        auto second = Output::open("/dev/null");
        REQUIRE((first && second));
        CHECK(second->write_lines("one line\n"));
    }
    auto full = Output::open("/dev/full");
    REQUIRE(full);
    CHECK_THAT(full->write_lines("one line\n").error().what, Catch::Contains("No space left"));

    REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
    const Fd reader(::open((directory / "fifo").c_str(), O_RDONLY | O_NONBLOCK));
    auto fifo = Output::open(directory / "fifo");
    REQUIRE(fifo);
    CHECK(fifo->write_lines("one line\n"));
    char line[16] = {};
    CHECK(::read(reader.raw(), line, sizeof line) == 9);

    int ends[2];
    REQUIRE(::pipe(ends) == 0);  // without O_CLOEXEC, as a shell's >(command)
    const Fd read_end(ends[0]), write_end(ends[1]);
    auto inherited = Output::open("/dev/fd/" + std::to_string(ends[1]));
    REQUIRE(inherited);
    CHECK(inherited->write_lines("one line\n"));
    CHECK(::read(ends[0], line, sizeof line) == 9);
    REQUIRE(::fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0);
    CHECK_FALSE(Output::open("/dev/fd/" + std::to_string(ends[1])));
}

TEST_CASE("another user's file in a directory open to all is refused")
{
    if (::geteuid() != 0) {
        WARN("skipped: only root can give a file away");
        return;
    }
    const TemporaryDirectory directory;
    const std::string path = directory / "shared/report";
    REQUIRE(::mkdir((directory / "shared").c_str(), 0700) == 0);
    std::ofstream(path) << "theirs";
    REQUIRE(::chown(path.c_str(), 12345, 12345) == 0);
    REQUIRE(::chmod((directory / "shared").c_str(), 01777) == 0);
    check_refused(path, "belongs to another user");
    CHECK(content(path) == "theirs");
    // The caller of sudo may have prepared it for themselves, and gets what is created.
    const int rc = in_child([&] {
        ::setenv("SUDO_UID", "12345", 1);
        ::setenv("SUDO_GID", "12346", 1);
        struct stat file {};
        const bool opened = Output::open(path) && Output::open(directory / "shared/fresh");
        return opened && ::stat((directory / "shared/fresh").c_str(), &file) == 0 && file.st_uid == 12345 &&
                       file.st_gid == 12346
                   ? 0
                   : 1;
    });
    CHECK(rc == 0);
}

TEST_CASE("a write that fails says so, once, and does not kill")
{
    SECTION("no space")
    {
        CHECK(in_child([] { return write_to_stdout(::open("/dev/full", O_WRONLY), "No space left"); }) == 1);
    }
    SECTION("a reader that is gone")
    {
        CHECK(in_child([] {
                  int ends[2];
                  if (::pipe(ends) != 0) return 9;
                  ::close(ends[0]);
                  return write_to_stdout(ends[1], "Broken pipe");
              }) == 1);
    }
    SECTION("a descriptor that cannot be written")
    {
        CHECK(in_child([] { return write_to_stdout(::open("/dev/null", O_RDONLY), "Bad file descriptor"); }) == 1);
    }
    SECTION("stdout closed")
    {
        CHECK(in_child([] {
                  ::close(STDOUT_FILENO);
                  const auto output = Output::open("-");
                  return !output && output.error().hint.find("-o") != std::string::npos ? 1 : 0;
              }) == 1);
    }
}

TEST_CASE("a pipe that is full and non-blocking is waited for")
{
    const TemporaryDirectory directory;
    CHECK(in_child([] {
              int ends[2];
              if (::pipe2(ends, O_NONBLOCK) != 0) return 9;
              const pid_t reader = ::fork();
              if (reader == 0) {
                  ::close(ends[1]);
                  char buffer[4096];
                  std::size_t total = 0;
                  for (;;) {
                      const ssize_t count = ::read(ends[0], buffer, sizeof buffer);
                      if (count == 0) break;
                      if (count > 0) total += static_cast<std::size_t>(count);
                  }
                  ::_exit(total == 300'000 ? 0 : 1);
              }
              ::close(ends[0]);
              ::dup2(ends[1], STDOUT_FILENO);
              ::close(ends[1]);
              {
                  auto output = Output::open("-");
                  for (int i = 0; i < 100; ++i) {
                      if (!output->write_lines(std::string(2'999, 'x') + "\n")) return 2;
                  }
              }
              ::close(STDOUT_FILENO);
              int status = 0;
              ::waitpid(reader, &status, 0);
              return WEXITSTATUS(status);
          }) == 0);
}

TEST_CASE("a file never ends in half a line, when the disk is full or the size limit is reached")
{
    const std::string line = std::string(999, 'x') + "\n";
    const auto fill = [&](const std::string& path, const char* expected) {
        auto output = Output::open(path);
        if (!output) return 2;
        for (int i = 0; i < 1'000; ++i) {
            const auto written = output->write_lines(line);
            if (written) continue;
            if (written.error().what.find(expected) == std::string::npos) return 3;
            const std::string text = content(path);
            return !text.empty() && text.size() % line.size() == 0 ? 0 : 4;
        }
        return 5;
    };
    const TemporaryDirectory directory;
    SECTION("size limit")
    {
        CHECK(in_child([&] {
                  const rlimit limit{10'500, 10'500};
                  ::setrlimit(RLIMIT_FSIZE, &limit);
                  return fill(directory / "report", "File too large");
              }) == 0);
        CHECK(content(directory / "report").size() == 10'000);
    }
    SECTION("disk full")
    {
        // A disk of ten pages, in namespaces of its own so that no root is needed.
        const int rc = in_child([&] {
            if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0) return skipped;
            if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return skipped;
            if (::mount("tmpfs", (directory / "").c_str(), "tmpfs", 0, "size=40k") != 0) return skipped;
            return fill(directory / "report", "No space left");
        });
        if (rc == skipped)
            WARN("skipped: no permission for a mount namespace");
        else
            CHECK(rc == 0);
    }
    SECTION("stdout is a file that is appended to")
    {
        const std::string path = directory / "log";
        std::ofstream(path) << "before\n";
        CHECK(in_child([&] {
                  const rlimit limit{2'500, 2'500};
                  ::dup2(::open(path.c_str(), O_WRONLY | O_APPEND), STDOUT_FILENO);
                  ::setrlimit(RLIMIT_FSIZE, &limit);
                  auto output = Output::open("-");
                  while (output->write_lines(line)) continue;
                  return content(path) == "before\n" + line + line ? 0 : 1;
              }) == 0);
    }
}
