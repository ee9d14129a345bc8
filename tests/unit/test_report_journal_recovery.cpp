// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "journals.hpp"
#include "report/journal_frame.hpp"
#include "report/journal_recovery.hpp"
#include "report/state_directory.hpp"

using namespace loopwatch;

namespace {

void put(const std::string& path, const std::string& bytes)
{
    std::ofstream(path, std::ios::binary) << bytes;
}

// Ends of its frames, and the number after the last record of each.
struct FrameEnd {
    std::uint64_t end, next_seq;
};
std::vector<FrameEnd> frame_ends(const TestJournal& journal)
{
    std::vector<FrameEnd> ends;
    JournalCursor before;
    for (auto reader = journal.reader();;) {
        const auto batch = reader.read({1 << 20, 1});
        REQUIRE(batch);
        const auto here = reader.position();
        if (batch->text.empty()) {
            return ends;
        }
        if (here.offset != before.offset) ends.push_back({here.offset, here.seq});
        before = here;
    }
}

}  // namespace

TEST_CASE("a segment that was cut at any byte is healed to its last whole frame")
{
    TestJournal journal;
    journal.options.counter_directory = "/nonexistent";
    journal.options.segment_bytes = 1 << 20;
    journal.write(36);
    const auto path = journal.segments().front();
    const auto whole = content(path);
    const auto ends = frame_ends(journal);
    REQUIRE(ends.size() >= 3);
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        std::filesystem::remove_all(segments_path(journal.options.state));
        std::filesystem::create_directory(segments_path(journal.options.state));
        put(path, whole.substr(0, cut));
        FrameEnd last = {0, 1};
        for (const auto& one : ends)
            if (one.end <= cut) last = one;
        const auto found = recover_journal(journal.options.state);
        REQUIRE(found);
        if (found->healed_bytes != cut - last.end || found->next_seq != last.next_seq || found->next_segment != 2)
            FAIL("cut at " << cut << ": healed " << found->healed_bytes << ", next " << found->next_seq);
        CHECK(found->segments.size() == (last.end > 0 ? 1 : 0));
        if (last.end > 0) CHECK(std::filesystem::file_size(path) == last.end);
    }
}

TEST_CASE("any bytes at the end are cut off, and writing goes on behind what is valid")
{
    TestJournal journal;
    journal.write(60);
    std::mt19937_64 random(7);
    for (int round = 0; round < 200; ++round) {
        const auto path = journal.segments().back();
        std::string noise(random() % 3000, '\0');
        for (auto& byte : noise) byte = round % 3 ? static_cast<char>(random()) : '\0';
        if (round % 3 == 2) noise = "\x28\xB5\x2F\xFD" + noise;
        const auto before = std::filesystem::file_size(path);
        std::ofstream(path, std::ios::binary | std::ios::app) << noise;
        const auto stats = journal.write(1);
        CHECK(stats.healed_bytes == noise.size());
        CHECK(std::filesystem::file_size(path) == before);
        CHECK(stats.lost_for(JournalLoss::killed) == 0);
    }
    auto reader = journal.reader();
    CHECK(read_numbers(reader) == numbers_between(1, 261));
    CHECK(reader.position().corrupt_places == 0);
}

TEST_CASE("segments without a valid frame are removed from the end, and their numbers are not used again")
{
    TestJournal journal;
    journal.write(10);
    put(segment_path(journal.options.state, 2), "");
    put(segment_path(journal.options.state, 3), std::string(100, 'x'));
    const auto found = recover_journal(journal.options.state);
    REQUIRE(found);
    CHECK(found->segments.size() == 1);
    CHECK(found->next_segment == 4);
    CHECK(found->next_seq == 11);
    CHECK(found->healed_bytes == 100);
    put(segments_path(journal.options.state) + "/notes.txt", "not ours");
    CHECK(journal.write(5).segments == 2);
    CHECK(std::filesystem::exists(segments_path(journal.options.state) + "/notes.txt"));
}

TEST_CASE("only frames as the journal makes them are valid")
{
    TestJournal journal;
    journal.write(10);
    const auto path = journal.segments().front();
    const auto whole = content(path);
    const auto valid = [&](const std::string& bytes) {
        put(path, bytes);
        FrameScanner scanner(Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
        const auto step = scanner.next(0);
        REQUIRE(step);
        return step->found && step->offset == 0;
    };
    CHECK(valid(whole));
    auto without_checksum = whole;
    without_checksum[4] = static_cast<char>(without_checksum[4] & ~0x04);
    CHECK(!valid(without_checksum));
    FrameEncoder encoder;
    CHECK(valid(std::string(*encoder.encode("{}\n"))));
    CHECK(!valid(std::string(*encoder.encode("{}"))));
    CHECK(!valid(std::string(*encoder.encode("x\n"))));
    CHECK(!valid(std::string(*encoder.encode(""))));
    CHECK(valid(std::string(*encoder.encode("{" + std::string(max_frame_bytes - 2, ' ') + "\n"))));
    CHECK(!valid(std::string(*encoder.encode("{" + std::string(max_frame_bytes - 1, ' ') + "\n"))));
}

TEST_CASE("a state directory has one writer, and the second is given the first one's pid")
{
    TestJournal journal;
    {
        const auto first = journal.open();
        const auto second = JournalWriter::open(journal.options);
        REQUIRE(!second);
        CHECK(second.error().what ==
              fmt::format("the state directory {} is in use by process {}", journal.options.state, ::getpid()));
        CHECK(!second.error().hint.empty());
    }
    CHECK(JournalWriter::open(journal.options));
}

TEST_CASE("a state directory of another version is refused in one line")
{
    TestJournal journal;
    journal.write(1);
    const auto error_with = [&](const std::string& version) {
        put(journal.options.state + "/version", version);
        const auto opened = StateDirectory::open(journal.options.state);
        return opened ? std::string() : opened.error().what;
    };
    CHECK(error_with("1\n").empty());
    CHECK(error_with("2\n").ends_with("is of version 2, this loopwatch knows version 1"));
    CHECK(error_with("0\n").ends_with("is of version 0, this loopwatch knows version 1"));
    CHECK(error_with("").ends_with("/version has no version"));
    CHECK(error_with("1x").ends_with("/version has no version"));
    std::filesystem::remove(journal.options.state + "/version");
    CHECK(StateDirectory::open(journal.options.state).error().what.ends_with("has a journal, but no file version"));
    CHECK(journal.segments().size() == 1);
}

TEST_CASE("a state directory keeps its UUID, and says so if that was damaged")
{
    TestJournal journal;
    std::string first;
    {
        const auto state = StateDirectory::open(journal.options.state);
        REQUIRE(state);
        first = state->instance();
        CHECK(first.size() == 36);
        CHECK(first[14] == '4');
    }
    CHECK(StateDirectory::open(journal.options.state)->instance() == first);
    put(journal.options.state + "/instance", "x\n");
    CHECK(StateDirectory::open(journal.options.state).error().hint == "remove it: a new one is made");
    std::filesystem::remove(journal.options.state + "/instance");
    CHECK(StateDirectory::open(journal.options.state)->instance() != first);
}

TEST_CASE("a state directory that cannot be made is one clear error")
{
    TestJournal journal;
    journal.options.state = journal.directory / "missing/state";
    const auto opened = JournalWriter::open(journal.options);
    REQUIRE(!opened);
    CHECK(opened.error().what ==
          "cannot make the state directory " + journal.options.state + ": No such file or directory");
}
