// SPDX-License-Identifier: Apache-2.0
//
// What a file tells of its probes and loops, on real programs: tests/fixtures/unwind/probes.cpp.
#include <elf.h>

#include <loopwatch/loop_state.h>
#include <algorithm>
#include <catch2/catch.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "captured.hpp"
#include "send_signal.hpp"
#include "stack/module_scan.hpp"
#include "stack/module_scans.hpp"
#include "stack/segments.hpp"

using loopwatch::Fd;
using loopwatch::ModuleScan;
using loopwatch::ProbeSite;
using loopwatch::send_signal;
using loopwatch::SymbolWorker;

namespace {

const std::string fixtures = FIXTURES;

const std::map<std::string, int> table = {
#define LW_PROBE(id, gate, name, count, doc) {#name, count},
#include <loopwatch/probes.def>
};

Fd open_file(const std::string& path)
{
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(file);
    return file;
}

ModuleScan scan_of(const std::string& name)
{
    auto worker = SymbolWorker::start();
    REQUIRE(worker);
    const Fd file = open_file(fixtures + "/" + name);
    auto scan = (*worker)->scan(file.raw());
    REQUIRE(scan);
    return *scan;
}

std::string bytes_at(const std::string& name, std::uint64_t offset, std::size_t count)
{
    std::ifstream file(fixtures + "/" + name, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    std::string bytes(count, '\0');
    file.read(bytes.data(), static_cast<std::streamsize>(count));
    return bytes;
}

bool warned(const ModuleScan& scan, const std::string& name, const std::string& why)
{
    return std::any_of(scan.warnings.begin(), scan.warnings.end(), [&](const std::string& warning) {
        return warning.find(name) == 0 && warning.find(why) != std::string::npos;
    });
}

}  // namespace

TEST_CASE("every probe of the table is found in every kind of file")
{
    for (const std::string name : {"probes_pie", "probes_no_pie", "probes_stripped", "libprobes.so", "probes_static"}) {
        INFO(name);
        const auto scan = scan_of(name);
        std::map<std::string, int> found;
        for (const ProbeSite& site : scan.sites) {
            ++found[site.name];
            CHECK(bytes_at(name, site.offset, 1) == "\x90");
        }
        for (const auto& [probe, count] : table) {
            INFO(probe);
            const auto site = std::find_if(scan.sites.begin(), scan.sites.end(), [&](const ProbeSite& s) {
                return s.name == probe && bytes_at(name, s.offset + 1, 2) == "\x66\x2e";
            });
            REQUIRE(site != scan.sites.end());
            CHECK(site->arguments == loopwatch::convention_arguments(static_cast<std::size_t>(count)));
            CHECK(site->semaphore_offset != 0);
            CHECK(bytes_at(name, site->semaphore_offset, 2) == std::string(2, '\0'));
        }
        CHECK(found["loop_stop"] == 2);
        CHECK(found["loop_start"] == 1);
        CHECK(found.count("thing") == 0);
        CHECK(scan.build_id.size() == 40);
    }
}

TEST_CASE("a site that must not be probed is refused with its reason")
{
    const auto scan = scan_of("probes_pie");
    for (const std::string name : {"bad_nop", "bad_argument", "bad_order", "in_data", "tombstone"})
        CHECK(std::none_of(scan.sites.begin(), scan.sites.end(),
                           [&](const ProbeSite& site) { return site.name == name; }));
    CHECK(warned(scan, "bad_nop", "not a 1-byte nop"));
    CHECK(warned(scan, "bad_argument", "calling convention"));
    CHECK(warned(scan, "bad_order", "calling convention"));
    CHECK(warned(scan, "in_data", "outside the executable segments"));
    CHECK(scan.warnings.size() == 4);
}

TEST_CASE("the registry is found by its note, stripped or not")
{
    for (const std::string name : {"probes_pie", "probes_no_pie", "probes_stripped", "libprobes.so"}) {
        INFO(name);
        const auto scan = scan_of(name);
        CHECK(scan.registry_abi == LW_ABI);
        const Fd file = open_file(fixtures + "/" + name);
        const auto segments = loopwatch::read_segments(file.raw());
        REQUIRE(segments);
        const auto offset = segments->offset_of(scan.registry_vaddr, PF_W);
        REQUIRE(offset);
        std::uint64_t magic = 0;
        std::memcpy(&magic, bytes_at(name, *offset, 8).data(), 8);
        CHECK(magic == LW_SLOT_MAGIC);
    }
}

// Not 0 and 0, which is right by chance in most position-independent files only.
TEST_CASE("the executable segment is told, so that addresses can be biased in programs that are linked to one")
{
    for (const std::string name : {"probes_pie", "probes_no_pie", "probes_static", "libprobes.so"}) {
        INFO(name);
        const auto scan = scan_of(name);
        const Fd file = open_file(fixtures + "/" + name);
        const auto segments = loopwatch::read_segments(file.raw());
        REQUIRE(segments);
        CHECK(scan.exec_vaddr != 0);
        CHECK(segments->offset_of(scan.exec_vaddr, PF_X) == scan.exec_offset);
    }
}

TEST_CASE("a program without an interpreter is static, one without probes has none")
{
    CHECK(scan_of("probes_static").is_static);
    CHECK_FALSE(scan_of("probes_pie").is_static);
    const auto none = scan_of("blocker_gcc");
    CHECK(none.sites.empty());
    CHECK(none.warnings.empty());
    CHECK(none.registry_vaddr == 0);
}

TEST_CASE("what is no 64-bit x86 ELF file is refused in words")
{
    auto worker = SymbolWorker::start();
    REQUIRE(worker);
    const Fd text = open_file("/etc/passwd"), folder = open_file("/"), null = open_file("/dev/null");
    for (const int fd : {text.raw(), folder.raw(), null.raw(), -1}) {
        auto scan = (*worker)->scan(fd);
        REQUIRE_FALSE(scan);
        CHECK_FALSE(scan.error().what.empty());
    }
}

TEST_CASE("a site is attached only where code, opcode, semaphore and arguments are as they must be")
{
    const Fd file = open_file(fixtures + "/probes_pie");
    const auto segments = loopwatch::read_segments(file.raw());
    REQUIRE(segments);
    const auto good = scan_of("probes_pie").sites.front();
    const auto refusal = [&](auto change) {
        ProbeSite site = good;
        change(site);
        return std::string(loopwatch::refuse_site(file.raw(), *segments, site));
    };
    CHECK(refusal([](ProbeSite&) {}).empty());
    CHECK_FALSE(refusal([](ProbeSite& s) { s.offset += 1; }).empty());
    CHECK_FALSE(refusal([](ProbeSite& s) { s.offset = 0; }).empty());
    CHECK_FALSE(refusal([](ProbeSite& s) { s.offset = ~0ull; }).empty());
    CHECK_FALSE(refusal([](ProbeSite& s) { s.semaphore_offset += 1; }).empty());
    CHECK_FALSE(refusal([](ProbeSite& s) { s.semaphore_offset = s.offset; }).empty());
    CHECK_FALSE(refusal([](ProbeSite& s) { s.arguments = "8@%rsi"; }).empty());
    CHECK_FALSE(refusal([](ProbeSite& s) { s.arguments += " 4@%eax"; }).empty());
    CHECK_FALSE(refusal([](ProbeSite& s) { s.name = "a\x1b[2J"; }).empty());
}

TEST_CASE("what the worker claims of a file counts only as far as the file agrees")
{
    const Fd file = open_file(fixtures + "/probes_pie");
    const auto good = scan_of("probes_pie");
    REQUIRE(good.sites.size() > 2);
    const auto code = good.sites.front().offset;
    auto claimed = good;
    claimed.sites[0].offset += 1;
    claimed.sites[1].arguments = "8@%rsi";
    claimed.coroutines = {{code, {}}, {0, {}}, {~0ull, {}}};
    claimed.throws = code + 1;
    const auto checked = loopwatch::check_claims(file.raw(), claimed);
    REQUIRE(checked);
    CHECK(checked->sites.size() == good.sites.size() - 2);
    CHECK(warned(*checked, good.sites[0].name, "not a 1-byte nop"));
    REQUIRE(checked->coroutines.size() == 1);
    CHECK(checked->coroutines[0].first[0] == 0x90);
    CHECK(checked->throws == 0);
    claimed.throws = code;
    CHECK(loopwatch::check_claims(file.raw(), claimed)->throws == code);
    CHECK_FALSE(loopwatch::check_claims(-1, good));
}

TEST_CASE("a worker that dies over one file reads the files that wait behind it all the same")
{
    auto worker = SymbolWorker::start();
    REQUIRE(worker);
    const Fd culprit = open_file(fixtures + "/probes_static"), innocent = open_file(fixtures + "/probes_pie");
    bool done = false;
    send_signal((*worker)->pid(), SIGSTOP);
    (*worker)->scan_ahead(culprit.raw(), {}, [](const std::vector<loopwatch::Frame>&) {});
    (*worker)->scan_ahead(innocent.raw(), {}, [&](const std::vector<loopwatch::Frame>&) { done = true; });
    const auto asked = (*worker)->asked();
    bool answered_early = false;
    send_signal((*worker)->pid(), SIGKILL);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done && std::chrono::steady_clock::now() < until) {
        answered_early |= (*worker)->answered(asked);
        (*worker)->poll();
    }
    CHECK(done);
    CHECK_FALSE(answered_early);
    const auto* const scan = (*worker)->scanned(innocent.raw());
    REQUIRE(scan);
    REQUIRE(*scan);
    CHECK_FALSE((*scan)->sites.empty());
    const auto* const died = (*worker)->scanned(culprit.raw());
    REQUIRE(died);
    CHECK_FALSE(*died);
    CHECK((*worker)->scan(culprit.raw()));  // there may be more luck
}

TEST_CASE("mutated files cost a scan, never the core")
{
    auto worker = SymbolWorker::start();
    REQUIRE(worker);
    std::ifstream in(fixtures + "/probes_pie", std::ios::binary);
    const std::string original((std::istreambuf_iterator<char>(in)), {});
    const auto path = std::filesystem::temp_directory_path() / ("loopwatch_mutated_" + std::to_string(::getpid()));
    std::mt19937 random(11);
    int answered = 0;
    for (int i = 0; i < 300; ++i) {
        std::string mutated = original;
        // The header and the program headers, the notes' neighbourhood, the section headers: where parsers look.
        const std::size_t regions[][2] = {{0, 0x400}, {0x300, 0x100}, {mutated.size() - 2600, 2600}};
        const auto& region = regions[random() % 3];
        for (unsigned k = 0; k <= random() % 8; ++k)
            mutated[region[0] + random() % region[1]] = static_cast<char>(random());
        if (i % 10 == 0) mutated.resize(random() % mutated.size());
        // A fresh inode each time: two crashes quarantine a file, not all that come after it.
        std::filesystem::remove(path);
        std::ofstream(path, std::ios::binary) << mutated;
        const Fd file = open_file(path);
        if ((*worker)->scan(file.raw())) ++answered;
    }
    std::filesystem::remove(path);
    CHECK(answered > 0);
    const Fd good = open_file(fixtures + "/probes_pie");
    auto scan = (*worker)->scan(good.raw());
    REQUIRE(scan);
    CHECK(scan->sites.size() == table.size() + 1);
}

TEST_CASE("notes end where their bytes end")
{
    std::vector<std::uint8_t> bytes;
    const auto word = [&](std::uint32_t value) {
        for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    };
    word(3), word(4), word(7);
    for (const char c : {'a', 'b', '\0', '\0'}) bytes.push_back(static_cast<std::uint8_t>(c));
    word(42);
    int notes = 0;
    const auto count = [&](const loopwatch::Note& note) {
        ++notes;
        CHECK(note.owner == "ab");
        CHECK(note.type == 7);
        CHECK(note.descriptor.size() == 4);
        CHECK(note.descriptor_offset == 16);
    };
    loopwatch::parse_notes(bytes, 4, count);
    CHECK(notes == 1);
    for (std::size_t size = 0; size < bytes.size(); ++size)
        loopwatch::parse_notes(std::span(bytes).first(size), 4, count);
    CHECK(notes == 1);
    bytes[4] = bytes[5] = bytes[6] = bytes[7] = 0xff;
    loopwatch::parse_notes(bytes, 4, count);
    CHECK(notes == 1);
}
