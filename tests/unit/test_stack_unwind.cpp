// SPDX-License-Identifier: Apache-2.0
//
// Real programs, built as releases are, asleep in a known place: tests/fixtures/unwind/blocker.cpp.
#include <dlfcn.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "captured.hpp"
#include "stack/debug_files.hpp"
#include "stack/symbol_worker.hpp"
#include "temporary_directory.hpp"

using captured::Sleeper;
using loopwatch::CapturedStack;
using loopwatch::Frame;
using loopwatch::SymbolWorker;

namespace {

const std::string fixtures = FIXTURES;

std::unique_ptr<SymbolWorker> start()
{
    auto worker = SymbolWorker::start();
    REQUIRE(worker);
    return std::move(*worker);
}

// poll() until `done` is true; fails the test after ten seconds without it.
template <class Condition>
void drain(SymbolWorker& worker, Condition done)
{
    for (int i = 0; i < 100 && !done(); ++i) {
        pollfd ready = {worker.descriptor(), POLLIN, 0};
        ::poll(&ready, 1, 100);
        worker.poll();
    }
    REQUIRE(done());
}

std::vector<Frame> unwind(SymbolWorker& worker, CapturedStack stack)
{
    std::vector<Frame> result;
    bool finished = false;
    worker.unwind(std::move(stack), [&](std::vector<Frame> frames) {
        result = std::move(frames);
        finished = true;
    });
    drain(worker, [&] { return finished; });
    return result;
}

std::vector<Frame> unwind_of(const std::string& program, std::size_t bytes = 8192, bool truncated = false)
{
    auto worker = start();
    Sleeper sleeper(program);
    REQUIRE(worker->map_process(static_cast<std::uint32_t>(sleeper.pid()), sleeper.modules()));
    auto stack = sleeper.stack(bytes);
    stack.truncated = truncated;
    return unwind(*worker, std::move(stack));
}

std::ptrdiff_t index_of(const std::vector<Frame>& frames, const std::string& function)
{
    for (std::size_t i = 0; i < frames.size(); ++i)
        if (frames[i].function == function) return static_cast<std::ptrdiff_t>(i);
    return -1;
}

std::string shown(const std::vector<Frame>& frames)
{
    std::ostringstream text;
    for (const Frame& f : frames)
        text << f.function << " " << f.module << "+" << std::hex << f.offset << std::dec << " " << f.file << ":"
             << f.line << (f.inlined ? " inlined" : "") << (f.truncated ? " truncated" : "") << " " << f.build_id
             << "\n";
    return text.str();
}

// Where blocker.cpp says LINE_OF_…
std::uint32_t line_marked(const std::string& mark)
{
    std::ifstream source(SOURCES "/blocker.cpp");
    std::string line;
    for (std::uint32_t number = 1; std::getline(source, line); ++number)
        if (line.find("// " + mark) != std::string::npos) return number;
    return 0;
}

void check_full_stack(const std::vector<Frame>& frames)
{
    INFO(shown(frames));
    const auto flush = index_of(frames, "shop::Store::flush(std::string const&, int)");
    REQUIRE(flush >= 3);
    const auto at = [&](std::ptrdiff_t i) -> const Frame& { return frames[static_cast<std::size_t>(i)]; };
    CHECK(at(flush - 2).function == "shop::settle(long)");
    CHECK(at(flush - 2).inlined);
    CHECK(at(flush - 2).line == line_marked("LINE_OF_SLEEP"));
    CHECK(at(flush - 1).function == "shop::write_back(long)");
    CHECK(at(flush - 1).inlined);
    CHECK(at(flush - 1).line == line_marked("LINE_OF_SETTLE"));
    CHECK_FALSE(at(flush).inlined);
    CHECK(at(flush).line == line_marked("LINE_OF_WRITE_BACK"));
    CHECK(at(flush).file.find("blocker.cpp") != std::string::npos);
    CHECK(at(flush - 3).module.find("libc") != std::string::npos);
    CHECK(index_of(frames, "main") > flush);
    CHECK_FALSE(frames.back().truncated);
}

}  // namespace

TEST_CASE("a release build's stack is whole, from libc to main, with inlines and lines")
{
    const auto frames = unwind_of(fixtures + "/blocker_gcc");
    check_full_stack(frames);
    INFO(shown(frames));
    const auto body = index_of(frames, "shop::save(std::string, int)");
    REQUIRE(body > 0);
    CHECK(frames[static_cast<std::size_t>(body)].line == line_marked("LINE_OF_FLUSH"));
    CHECK(frames.front().module.find("libc") != std::string::npos);
    CHECK(frames.front().function.find("nanosleep") != std::string::npos);
}

TEST_CASE("the same for clang, which writes no .debug_aranges, and for a program at a fixed address")
{
    if (std::filesystem::exists(fixtures + "/blocker_clang")) check_full_stack(unwind_of(fixtures + "/blocker_clang"));
    check_full_stack(unwind_of(fixtures + "/blocker_no_pie"));
}

TEST_CASE("a program that has mapped a part of its own code a second time is unwound all the same")
{
    for (const auto& program : {fixtures + "/blocker_no_pie", fixtures + "/blocker_gcc"}) {
        auto worker = start();
        Sleeper sleeper(program);
        auto modules = sleeper.modules();
        const auto own = std::ranges::find(modules, program, &loopwatch::ModuleMapping::path);
        REQUIRE(own != modules.end());
        loopwatch::ModuleMapping copy;
        copy.start = 0x7e0000000000;  // as node has it: after the program, before the libraries
        copy.end = copy.start + (own->end - own->start);
        copy.file_offset = own->file_offset;
        copy.path = own->path;
        copy.file = loopwatch::Fd(::dup(own->file.raw()));
        modules.insert(std::next(own), std::move(copy));
        REQUIRE(worker->map_process(static_cast<std::uint32_t>(sleeper.pid()), std::move(modules)));
        check_full_stack(unwind(*worker, sleeper.stack(8192)));
    }
}

TEST_CASE("a stripped program's frames have what addr2line and a build-id server need")
{
    auto worker = start();
    Sleeper stripped(fixtures + "/blocker_stripped");
    const auto pid = static_cast<std::uint32_t>(stripped.pid());
    REQUIRE(worker->map_process(pid, stripped.modules()));
    const auto frames = unwind(*worker, stripped.stack(8192));
    INFO(shown(frames));
    std::vector<Frame> own;
    for (const Frame& frame : frames)
        if (frame.module == fixtures + "/blocker_stripped") own.push_back(frame);
    REQUIRE(own.size() >= 3);
    for (const Frame& frame : own) {
        CHECK(frame.function.empty());
        CHECK(frame.build_id.size() == 40);
        CHECK(frame.offset > 0x1000);
        CHECK(frame.offset < 0x10000);
    }
}

TEST_CASE("a frame of another file has the name by which it was called, whatever its own symbols are")
{
    for (const char* program : {"/blocker_gcc", "/blocker_clang", "/blocker_no_pie", "/blocker_stripped"}) {
        if (!std::filesystem::exists(fixtures + program)) continue;
        const auto frames = unwind_of(fixtures + program);
        INFO(program << "\n" << shown(frames));
        const auto own = std::ranges::find(frames, fixtures + program, &Frame::module);
        REQUIRE(own > frames.begin());
        CHECK(std::prev(own)->called == "nanosleep");
        CHECK(std::ranges::count_if(frames, [](const Frame& frame) { return !frame.called.empty(); }) < 4);
    }
}

TEST_CASE("the debug file beside a program is found by its name, if it is of this program")
{
    const bool with_build_id = GENERATE(true, false);
    const loopwatch::TemporaryDirectory folder;
    const auto program = folder / "blocker", debug = folder / "blocker.debug", from = fixtures + "/blocker_gcc";
    const auto made = "objcopy --only-keep-debug " + from + " " + debug + " && strip " +
                      (with_build_id ? "" : "-R .note.gnu.build-id ") + "-o " + program + " " + from +
                      " && objcopy --add-gnu-debuglink=" + debug + " " + program;
    REQUIRE(std::system(made.c_str()) == 0);
    check_full_stack(unwind_of(program));
    const auto has_lines = [&] {
        return std::ranges::any_of(unwind_of(program),
                                   [](const Frame& frame) { return frame.file.ends_with("blocker.cpp"); });
    };
    CHECK(has_lines());
    std::filesystem::create_directory(folder / ".debug");
    std::filesystem::rename(debug, folder / ".debug/blocker.debug");
    CHECK(has_lines());
    // Its checksum is another one now: only a build-id says that it is the program's.
    std::ofstream(folder / ".debug/blocker.debug", std::ios::app) << "x";
    CHECK(has_lines() == with_build_id);
}

TEST_CASE("beside a program nothing is opened that its user could not read, nor a link or another's file")
{
    const loopwatch::TemporaryDirectory folder;
    const auto self = static_cast<std::uint32_t>(::getpid());
    const auto opens = [&](const std::string& name, std::uint32_t pid) {
        return static_cast<bool>(loopwatch::open_debug_file({"", name}, folder / "program", pid));
    };
    std::ofstream(folder / "own.debug") << "x";
    std::ofstream(folder / "secret.debug") << "x";
    std::filesystem::permissions(folder / "secret.debug", std::filesystem::perms::owner_read);
    std::filesystem::create_symlink(folder / "own.debug", folder / "link.debug");
    REQUIRE(::mkfifo((folder / "fifo.debug").c_str(), 0644) == 0);
    CHECK(opens("own.debug", self));
    CHECK_FALSE(opens("own.debug", 0));
    CHECK(opens("secret.debug", self) == (::geteuid() != 0));
    CHECK_FALSE(opens("link.debug", self));
    CHECK_FALSE(opens("fifo.debug", self));
    CHECK_FALSE(opens("../" + (folder / "own.debug"), self));
    CHECK_FALSE(opens("", self));
}

TEST_CASE("a deleted program is unwound by the file that is still mapped")
{
    const auto copy = std::filesystem::temp_directory_path() / ("loopwatch_deleted_" + std::to_string(::getpid()));
    std::filesystem::copy_file(fixtures + "/blocker_gcc", copy);
    auto worker = start();
    Sleeper sleeper(copy);
    std::filesystem::remove(copy);
    REQUIRE(worker->map_process(static_cast<std::uint32_t>(sleeper.pid()), sleeper.modules()));
    check_full_stack(unwind(*worker, sleeper.stack(8192)));
}

TEST_CASE("a stack passes through a shared library")
{
    const auto frames = unwind_of(fixtures + "/blocker_shared");
    INFO(shown(frames));
    const auto library = index_of(frames, "library_block(int)");
    REQUIRE(library > 0);
    CHECK(frames[static_cast<std::size_t>(library)].module == fixtures + "/libblocker.so");
    CHECK(index_of(frames, "main") > library);
}

TEST_CASE("a stack passes through code that was generated at run time and has only a frame pointer")
{
    const auto frames = unwind_of(fixtures + "/blocker_jit");
    INFO(shown(frames));
    const auto sleeper = index_of(frames, "sleep_forever()");
    REQUIRE(sleeper > 0);
    REQUIRE(index_of(frames, "main") == sleeper + 2);
    CHECK(frames[static_cast<std::size_t>(sleeper + 1)].module.empty());
}

TEST_CASE("a stack passes through clone, whose unwind information ends before its system call")
{
    auto worker = start();
    Sleeper sleeper(fixtures + "/blocker_gcc");
    auto modules = sleeper.modules();
    const auto libc =
        std::ranges::find_if(modules, [](const auto& m) { return m.path.find("libc.so") != m.path.npos; });
    REQUIRE(libc != modules.end());
    // Its libc is ours: as far from where its code begins.
    const auto own = Sleeper::modules_of(::getpid());
    const auto ours = std::ranges::find(own, libc->path, &loopwatch::ModuleMapping::path);
    REQUIRE(ours != own.end());
    const auto* const code = static_cast<const std::uint8_t*>(::dlsym(RTLD_DEFAULT, "clone"));
    const std::uint8_t syscall[] = {0x0f, 0x05};
    const auto* const called = std::search(code, code + 128, std::begin(syscall), std::end(syscall));
    REQUIRE(called != code + 128);
    const auto clone_pc = reinterpret_cast<std::uint64_t>(called) + sizeof syscall - ours->start + libc->start;

    REQUIRE(worker->map_process(static_cast<std::uint32_t>(sleeper.pid()), std::move(modules)));
    auto stack = sleeper.stack(8192);
    const auto asleep = unwind(*worker, stack);
    const auto in_libc =
        std::ranges::find_if(asleep, [](const Frame& f) { return f.function == "shop::settle(long)"; });
    REQUIRE(in_libc != asleep.begin());
    REQUIRE(in_libc != asleep.end());
    // As if `settle` waited in clone: on top of the stack is where that returns to.
    stack.dwarf_registers[CapturedStack::sp_register] = std::prev(in_libc)->cfa - 8;
    stack.dwarf_registers[CapturedStack::pc_register] = clone_pc;
    stack.dwarf_registers[6] = stack.base + 256;  // rbp is anything
    const auto frames = unwind(*worker, stack);
    INFO(shown(frames));
    CHECK(frames.front().function.find("clone") != std::string::npos);
    REQUIRE(frames.size() > 1);
    CHECK(frames[1].function == "shop::settle(long)");
    CHECK(index_of(frames, "main") > 0);
}

TEST_CASE("a stack that was cut says so, one that ends at the loop's frame does not")
{
    const auto cut = unwind_of(fixtures + "/blocker_gcc", 128 + 64, true);
    INFO(shown(cut));
    REQUIRE(cut.size() >= 1);
    CHECK(cut.back().truncated);
    CHECK(index_of(cut, "main") == -1);
    CHECK_FALSE(unwind_of(fixtures + "/blocker_gcc", 128 + 64, false).back().truncated);
}

TEST_CASE("garbage for registers and stack gives frames, not a crash")
{
    auto worker = start();
    Sleeper sleeper(fixtures + "/blocker_gcc");
    REQUIRE(worker->map_process(static_cast<std::uint32_t>(sleeper.pid()), sleeper.modules()));
    const auto good = sleeper.stack(8192);
    const pid_t before = worker->pid();
    std::mt19937_64 random(7);
    for (int i = 0; i < 2000; ++i) {
        CapturedStack bad = good;
        if (i % 3 != 0)
            for (auto& value : bad.dwarf_registers)
                if (random() % 4 == 0) value = i % 2 ? random() : value + random() % 64;
        if (i % 3 != 1)
            for (int k = 0; k < 200; ++k) bad.bytes[random() % bad.bytes.size()] = static_cast<std::uint8_t>(random());
        REQUIRE_FALSE(unwind(*worker, bad).empty());
    }
    CHECK(worker->pid() == before);
    CHECK(worker->failures() == 0);
    check_full_stack(unwind(*worker, good));
}

TEST_CASE("single addresses are named with their inlines")
{
    auto worker = start();
    Sleeper sleeper(fixtures + "/blocker_gcc");
    const auto pid = static_cast<std::uint32_t>(sleeper.pid());
    REQUIRE(worker->map_process(pid, sleeper.modules()));
    std::vector<Frame> named;
    worker->symbolize(pid, {sleeper.stack(256).dwarf_registers[16], 0x10},
                      [&](std::vector<Frame> frames) { named = std::move(frames); });
    drain(*worker, [&] { return worker->pending() == 0; });
    INFO(shown(named));
    REQUIRE(named.size() >= 2);
    CHECK(named.front().function.find("nanosleep") != std::string::npos);
    CHECK(named.back().function.empty());
    CHECK(named.back().offset == 0x10);
}
