// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <unistd.h>

#include <string>

#include <catch2/catch.hpp>

#include "stack/perf_map.hpp"

using namespace loopwatch;

namespace {

// A file that grows, as a runtime's does; gone with the test.
class GrowingFile {
public:
    GrowingFile() : fd_(::mkstemp(path_)) { ::unlink(path_); }
    void write(const std::string& text)
    {
        REQUIRE(::write(fd_.raw(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    }
    Fd copy() const { return Fd(::dup(fd_.raw())); }

private:
    char path_[32] = "/tmp/loopwatch-perf-map-XXXXXX";
    Fd fd_;
};

std::string name_at(PerfMap& map, std::uint64_t address)
{
    const auto frame = map.find(address);
    return frame ? frame->function : "none";
}

}  // namespace

TEST_CASE("an address finds the code it lies in")
{
    GrowingFile file;
    Progress progress;
    PerfMap map(file.copy(), progress);
    CHECK(name_at(map, 0x1000) == "none");
    file.write("1000 100 first\n2000 80 second name\n");
    CHECK(name_at(map, 0x0fff) == "none");
    CHECK(name_at(map, 0x1000) == "first");
    CHECK(name_at(map, 0x10ff) == "first");
    CHECK(name_at(map, 0x1100) == "none");
    CHECK(name_at(map, 0x207f) == "second name");
    CHECK(map.find(0x2010)->offset == 0x2010);
}

TEST_CASE("what is added later is read on, also in the middle of a line, and replaces what lay there")
{
    GrowingFile file;
    Progress progress;
    PerfMap map(file.copy(), progress);
    file.write("1000 100 old\n1100 10");
    CHECK(name_at(map, 0x1108) == "none");
    file.write("0 next\n1080 20 moved\n");
    CHECK(name_at(map, 0x1108) == "next");
    CHECK(name_at(map, 0x1040) == "old");
    CHECK(name_at(map, 0x1090) == "moved");
    CHECK(name_at(map, 0x10f0) == "none");
}

TEST_CASE("lines that say nothing are left out")
{
    const auto line =
        GENERATE(as<std::string>(), "", "zz 10 name", "1000", "1000 ", "1000 10", "1000 0 name",
                 "ffffffffffffffff 10 wraps", "1000 10 ", "1000 99999999999999999 name", std::string("\0\0\0", 3));
    GrowingFile file;
    Progress progress;
    PerfMap map(file.copy(), progress);
    file.write(line + "\n5000 10 good\n");
    CHECK(name_at(map, 0x1000) == "none");
    CHECK(name_at(map, 0x5000) == "good");
}

TEST_CASE("a name is bounded and valid UTF-8")
{
    GrowingFile file;
    Progress progress;
    PerfMap map(file.copy(), progress);
    file.write("1000 10 \xff\xfe" + std::string(100'000, 'n') + "\n2000 10 after\n");
    CHECK(map.find(0x1000)->function.size() <= 2 * PerfMap::max_name_bytes);
    CHECK(map.find(0x1000)->function.substr(0, 3) == "\xef\xbf\xbd");
    CHECK(name_at(map, 0x2000) == "after");
}

TEST_CASE("names of known runtimes tell function, file and line")
{
    const auto [name, function, file, line] = GENERATE(table<std::string, std::string, std::string, std::uint32_t>({
        {"JS:*handle /srv/app.js:12:3", "handle", "/srv/app.js", 12},
        {"LazyCompile:~go file:///srv/app.js:7:11", "go", "/srv/app.js", 7},
        {"JS:^ /srv/app.js:1:1", "(anonymous)", "/srv/app.js", 1},
        {"JS:~handle node:internal/timers:8:2", "handle", "node:internal/timers", 8},
        {"Script:~ app.js", "(anonymous)", "app.js", 0},
        {"py::handle:/srv/app.py", "handle", "/srv/app.py", 0},
        {"py::handle", "handle", "", 0},
        {"Lcom/example/Handler;::serve", "Lcom/example/Handler;::serve", "", 0},
        {"Builtin:CEntry", "Builtin:CEntry", "", 0},
    }));
    const auto frame = frame_of_jit_name(name);
    CHECK(frame.function == function);
    CHECK(frame.file == file);
    CHECK(frame.line == line);
}
