// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "journals.hpp"

using namespace loopwatch;

namespace {

void overwrite(const std::string& path, const std::string& bytes)
{
    std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("batches are no larger than asked for, and together are all there is")
{
    TestJournal journal;
    journal.write(100);
    auto reader = journal.reader();
    CHECK(read_numbers(reader, {1 << 20, 1}) == numbers_between(1, 101));
    reader.rewind();
    CHECK(read_numbers(reader, {1, 10'000}) == numbers_between(1, 101));
    reader.rewind();
    const auto batch = reader.read({1000, 10'000});
    REQUIRE(batch);
    CHECK(batch->text.size() <= 1000);
    CHECK(batch->text.size() > 700);
    CHECK(batch->records == batch->last_seq - batch->first_seq + 1);
}

TEST_CASE("a reader goes on behind what it acknowledged, within a frame too, and gets the rest again")
{
    TestJournal journal;
    journal.write(60);
    for (std::uint64_t acknowledged = 0; acknowledged < 60; ++acknowledged) {
        auto reader = journal.reader("sink");
        const auto batch = reader.read({1 << 20, 1});
        REQUIRE(batch);
        CHECK(batch->first_seq == acknowledged + 1);
        CHECK((batch->text.find("\"type\":\"segment\"") != std::string::npos) ==
              (batch->text.find("{\"schema") != std::string::npos));
        CHECK(reader.acknowledge());
        // Read, and not delivered.
        REQUIRE(reader.read({1 << 20, 7}));
        CHECK(reader.acknowledged().records == acknowledged + 1);
        if (acknowledged % 2) {
            reader.rewind();
            CHECK(read_numbers(reader) == numbers_between(acknowledged + 2, 61));
        }
    }
    auto reader = journal.reader("sink");
    CHECK(read_numbers(reader).empty());
    auto another = journal.reader("another");
    CHECK(read_numbers(another).size() == 60);
}

TEST_CASE("a reader follows what is written")
{
    TestJournal journal;
    auto reader = journal.reader("sink");
    CHECK(read_numbers(reader).empty());
    auto writer = journal.open();
    std::uint64_t now = 1;
    writer.tick(now);
    for (std::uint64_t made = 0; made < 300; made += 10) {
        TestJournal::append(writer, 10);
        writer.tick(now += 1'000'000'000);
        settle(writer);
        CHECK(read_numbers(reader) == numbers_between(made + 1, made + 11));
    }
    CHECK(journal.segments().size() > 1);
}

TEST_CASE("a frame that is being written is waited for")
{
    TestJournal journal;
    journal.write(60);
    const auto path = journal.segments().back();
    const auto whole = content(path);
    for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
        overwrite(path, whole.substr(0, bytes));
        auto reader = journal.reader();
        auto numbers = read_numbers(reader);
        CHECK(reader.position().corrupt_bytes == 0);
        overwrite(path, whole);
        for (const auto number : read_numbers(reader)) numbers.push_back(number);
        if (numbers != numbers_between(1, 61)) FAIL("cut at byte " << bytes);
        CHECK(reader.position().lost == ReaderLosses{});
    }
}

TEST_CASE("a damaged frame is skipped, and exactly its records are counted")
{
    TestJournal journal;
    journal.write(60);
    journal.write(1);
    const auto path = journal.segments().front();
    const auto whole = content(path);
    for (std::size_t byte = 0; byte < whole.size(); ++byte) {
        for (const char change : {'\x01', '\x80'}) {
            auto damaged = whole;
            damaged[byte] = static_cast<char>(damaged[byte] ^ change);
            overwrite(path, damaged);
            auto reader = journal.reader("damaged");
            const auto numbers = read_numbers(reader);
            // Those before the first record that is left were never promised to this reader.
            const auto& position = reader.position();
            REQUIRE(!numbers.empty());
            const auto skipped = numbers.front() - 1;
            // zstd ignores a bit of a frame's header.
            const std::uint64_t places = numbers.size() == 61 ? 0 : 1;
            if (numbers.size() + position.lost.corrupt + skipped != 61 ||
                position.lost.all() != position.lost.corrupt || position.corrupt_places != places)
                FAIL("byte " << byte << ": " << numbers.size() << " read, " << position.lost.corrupt << " lost");
        }
    }
}

TEST_CASE("what is inserted between frames is skipped without a loss")
{
    TestJournal journal;
    journal.write(60);
    const auto path = journal.segments().front();
    const auto whole = content(path);
    overwrite(path, "no frame" + whole + std::string("\x28\xB5\x2F\xFD", 4) + std::string(5000, '\0'));
    journal.write(3);
    auto reader = journal.reader();
    CHECK(read_numbers(reader) == numbers_between(1, 64));
    CHECK(reader.position().lost == ReaderLosses{});
}

TEST_CASE("of segments that are removed before their reader comes exactly the records it lacks are counted")
{
    TestJournal journal;
    journal.write(400);
    const auto segments = journal.segments();
    REQUIRE(segments.size() >= 4);
    const auto in_segment = [&](std::size_t which) {
        auto reader = journal.reader("at");
        JournalCursor at;
        at.segment = which + 1;
        REQUIRE(save_cursor(journal.options.state, "at", at));
        return journal.reader("at").read({1 << 20, 1})->first_seq;
    };
    const auto third = in_segment(2), fourth = in_segment(3);
    auto open_reader = journal.reader("open");
    REQUIRE(open_reader.read({1 << 20, 5}));
    CHECK(open_reader.acknowledge());
    auto ended = journal.reader("ended");
    while (ended.position().seq < third) REQUIRE(ended.read({1 << 20, 1}));
    CHECK(ended.acknowledge());

    std::filesystem::remove(segments[0]);
    std::filesystem::remove(segments[1]);
    auto numbers = read_numbers(ended);
    CHECK(numbers == numbers_between(third, 401));
    CHECK(ended.position().lost == ReaderLosses{});
    // It has the file open, and a frame of it.
    numbers = read_numbers(open_reader);
    CHECK(numbers.back() == 400);
    CHECK(numbers.size() + open_reader.position().lost.removed == 395);
    CHECK(open_reader.position().lost.removed > third / 2);

    auto later = journal.reader("open");
    std::filesystem::remove(segments[2]);
    CHECK(read_numbers(later) == numbers_between(fourth, 401));
    CHECK(later.position().lost.removed == fourth - 6);
    CHECK(later.position().lost.all() == fourth - 6);
    CHECK(later.acknowledge());
    CHECK(journal.reader("open").position().lost.removed == fourth - 6);
    // Who comes now misses nothing.
    auto fresh = journal.reader();
    CHECK(read_numbers(fresh) == numbers_between(fourth, 401));
    CHECK(fresh.position().lost == ReaderLosses{});
}

TEST_CASE("a reader whose segments are all gone counts them when the next record comes")
{
    TestJournal journal;
    journal.write(50);
    auto reader = journal.reader("sink");
    REQUIRE(reader.read({1 << 20, 10}));
    CHECK(reader.acknowledge());
    for (const auto& path : journal.segments()) std::filesystem::remove(path);
    auto late = journal.reader("sink");
    CHECK(read_numbers(late).empty());
    // What a reader has seen is not given again, though no segment knows of it.
    journal.options.counter_directory = "/nonexistent";
    CHECK(journal.write(1).next_seq == 12);
    CHECK(read_numbers(late) == std::vector<std::uint64_t>{11});
    CHECK(late.position().lost.all() == 0);
}

TEST_CASE("a reader that begins within a segment gets the stacks that were written before")
{
    TestJournal journal;
    journal.options.segment_bytes = 1 << 20;
    {
        auto writer = journal.open();
        for (int i = 0; i < 4; ++i) {
            writer.append(fmt::format(R"({{"schema":"loopwatch/1","type":"stack","n":{},"stack_id":"{}"}})",
                                      writer.stats().next_seq, i));
            TestJournal::append(writer, 20);
        }
        CHECK(writer.close());
    }
    auto reader = journal.reader("sink");
    REQUIRE(reader.read({1 << 20, 43}));
    CHECK(reader.acknowledge());
    auto resumed = journal.reader("sink");
    std::vector<std::string> stacks;
    REQUIRE(resumed.replay_stacks([&](std::string_view line) { stacks.emplace_back(line); }));
    REQUIRE(stacks.size() == 3);
    CHECK(number_of(stacks[2]) == 43u);
    CHECK(read_numbers(resumed) == numbers_between(44, 85));
}

TEST_CASE("a cursor's file is what it says, or an error that names it")
{
    TestJournal journal;
    journal.write(3);
    for (const std::string name : {"../x", ".x", "a/b", "a b"})
        CHECK(JournalReader::open(journal.options.state, name).error().code == ExitCode::usage);
    CHECK(!is_cursor_name(""));
    CHECK(!is_cursor_name(std::string(65, 'x')));
    for (const std::string text : {"", "{}", "[]", "{\"segment\":-1}", "no"}) {
        overwrite(cursors_path(journal.options.state) + "/sink", text);
        const auto reader = JournalReader::open(journal.options.state, "sink");
        REQUIRE(!reader);
        CHECK(reader.error().what == cursors_path(journal.options.state) + "/sink is no cursor");
    }
    JournalCursor cursor{1, 2, 3, 4, {5, 6, 7}, 8, 9};
    REQUIRE(save_cursor(journal.options.state, "sink", cursor));
    CHECK(**load_cursor(journal.options.state, "sink") == cursor);
}
