// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "journals.hpp"
#include "report/made_counter.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t second = 1'000'000'000;

std::vector<nlohmann::json> records_of(const std::string& text)
{
    std::vector<nlohmann::json> records;
    for_each_line(text, [&](std::string_view line) { records.push_back(nlohmann::json::parse(line)); });
    return records;
}

class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes)
    {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit limit = {bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() { ::setrlimit(RLIMIT_FSIZE, &before_); }

private:
    rlimit before_ = {};
};

}  // namespace

TEST_CASE("a line gets its number and the instance in front")
{
    std::string text;
    CHECK(append_numbered("{\"a\":1}\n", 7, "id", text));
    CHECK(append_numbered("{}", 8, "id", text));
    CHECK(text == "{\"seq\":7,\"instance\":\"id\",\"a\":1}\n{\"seq\":8,\"instance\":\"id\"}\n");
    CHECK(number_of(text) == 7u);
    for (const std::string line : {"", "\n", "{", "[1]", "{\"a\":1", "{\"a\":\n1}"})
        CHECK(!append_numbered(line, 9, "id", text));
    CHECK(text.ends_with("\"id\"}\n"));
    CHECK(!number_of("{\"n\":7}"));
    CHECK(!number_of("{\"seq\":\"7\"}"));
}

TEST_CASE("a segment begins with what its records need to be understood")
{
    TestJournal journal;
    journal.clock = {5'000'000'000, 1'800'000'000'000'000'000};
    const auto stats = journal.write(3);
    CHECK(stats.records == 3);
    CHECK(stats.next_seq == 4);
    CHECK(stats.segments == 1);
    auto reader = journal.reader();
    const auto batch = reader.read();
    REQUIRE(batch);
    const auto records = records_of(batch->text);
    REQUIRE(records.size() == 4);
    CHECK(records[0]["schema"] == "loopwatch/1");
    CHECK(records[0]["type"] == "segment");
    CHECK(records[0]["first_seq"] == 1);
    CHECK(records[0]["mono_ns"] == journal.clock.mono_ns);
    CHECK(records[0]["realtime_ns"] == journal.clock.realtime_ns);
    CHECK(records[0]["time"] == "2027-01-15T08:00:00.000000000Z");
    CHECK(records[0]["version"] == "1.2.3");
    CHECK(records[0]["host"] == "here");
    CHECK(records[0]["boot_id"].get<std::string>().size() == 36);
    CHECK(records[1]["seq"] == 1);
    CHECK(records[1]["instance"] == records[0]["instance"]);
    CHECK(records[3]["seq"] == 3);
}

TEST_CASE("records are read as they were written, over frames, segments and restarts")
{
    TestJournal journal;
    std::uint64_t made = 0;
    std::string instance;
    for (const std::uint64_t records : {200, 1, 77}) {
        auto writer = journal.open();
        CHECK((instance.empty() || writer.instance() == instance));
        instance = writer.instance();
        TestJournal::append(writer, records);
        CHECK(writer.close());
        made += records;
        CHECK(writer.stats().next_seq == made + 1);
        CHECK(writer.stats().all_lost() == 0);
    }
    CHECK(journal.segments().size() > 3);
    for (const auto& path : journal.segments())
        CHECK(std::filesystem::file_size(path) <= journal.options.segment_bytes);
    auto reader = journal.reader();
    CHECK(read_numbers(reader) == numbers_between(1, made + 1));
    CHECK(reader.position().lost == ReaderLosses{});
}

TEST_CASE("a record is written a second after it was appended, or once a frame is full")
{
    TestJournal journal;
    auto writer = journal.open();
    writer.tick(1 * second);
    TestJournal::append(writer, 1);
    writer.tick(2 * second - 1);
    CHECK(writer.stats().frames == 0);
    CHECK(writer.stats().settled_seq == 1);
    writer.tick(2 * second);
    CHECK(settle(writer).frames == 1);
    CHECK(writer.stats().settled_seq == 2);
    TestJournal::append(writer, 40);
    const auto before_close = writer.stats().frames;
    CHECK(writer.close());
    CHECK(writer.stats().frames > 2);
    CHECK(before_close <= writer.stats().frames);
    CHECK(writer.stats().settled_seq == 42);
}

TEST_CASE("when a segment is full its owner is asked to write stacks again, before the next record")
{
    TestJournal journal;
    std::uint64_t asked = 0;
    bool known = false;
    journal.options.on_segment = [&] {
        ++asked;
        known = false;
    };
    auto writer = journal.open();
    for (int i = 0; i < 300; ++i) {
        std::string lines;
        if (!known)
            lines = R"({"schema":"loopwatch/1","type":"stack","stack_id":"x"})"
                    "\n";
        known = true;
        lines += TestJournal::record(writer.stats().next_seq, 60);
        writer.append(lines);
        settle(writer);
    }
    CHECK(writer.close());
    CHECK(asked == journal.segments().size() - 1);
    CHECK(asked >= 2);
    for (std::uint64_t segment = 1; segment <= asked + 1; ++segment) {
        JournalCursor at;
        at.segment = segment;
        REQUIRE(save_cursor(journal.options.state, "at", at));
        auto reader = journal.reader("at");
        const auto batch = reader.read({1 << 20, 1});
        REQUIRE(batch);
        CHECK(records_of(batch->text)[1].value("type", "") == "stack");
    }
}

TEST_CASE("what no frame has room for is lost and counted, and is a gap in the numbers")
{
    TestJournal journal;
    std::uint64_t asked = 0;
    journal.options.on_segment = [&] { ++asked; };
    auto writer = journal.open();
    TestJournal::append(writer, 2);
    CHECK(writer.append(TestJournal::record(3, 3000)) == 3);
    CHECK(writer.append("no object\n") == 4);
    CHECK(asked == 2);
    CHECK(writer.append(TestJournal::record(5) + TestJournal::record(6)) == 6);
    CHECK(writer.close());
    CHECK(writer.stats().lost_for(JournalLoss::too_long) == 2);
    auto reader = journal.reader();
    CHECK(read_numbers(reader) == std::vector<std::uint64_t>{1, 2, 5, 6});
    CHECK(reader.position().lost.unwritten == 2);
}

TEST_CASE("lost records at the end keep their numbers over a restart")
{
    TestJournal journal;
    {
        auto writer = journal.open();
        TestJournal::append(writer, 2);
        writer.append("no object\n");
        CHECK(writer.close());
    }
    const auto stats = journal.write(1);
    CHECK(stats.next_seq == 5);
    auto reader = journal.reader();
    CHECK(read_numbers(reader) == std::vector<std::uint64_t>{1, 2, 4});
    CHECK(reader.position().lost.unwritten == 1);
}

TEST_CASE("lines that the queue has no room for are lost together")
{
    TestJournal journal;
    journal.options.queue_bytes = 1000;
    std::uint64_t asked = 0;
    journal.options.on_segment = [&] { ++asked; };
    auto writer = journal.open();
    TestJournal::append(writer, 1);
    CHECK(writer.append(TestJournal::record(2) + TestJournal::record(3, 800)) == 3);
    CHECK(asked == 1);
    TestJournal::append(writer, 1);
    CHECK(writer.close());
    CHECK(writer.stats().lost_for(JournalLoss::queue_full) == 2);
    CHECK(writer.stats().records == 2);
    auto reader = journal.reader();
    CHECK(read_numbers(reader) == std::vector<std::uint64_t>{1, 4});
    CHECK(reader.position().lost.unwritten == 2);
}

TEST_CASE("records that were on their way at a kill are counted by the next process")
{
    TestJournal journal;
    journal.write(10);
    {
        const auto instance = content(journal.options.state + "/instance");
        auto counter = MadeCounter::open(journal.options.counter_directory, instance.substr(0, 36));
        REQUIRE(counter);
        CHECK(!counter->found());
        counter->store(15);
    }
    const auto stats = journal.write(1);
    CHECK(stats.lost_for(JournalLoss::killed) == 4);
    CHECK(stats.next_seq == 16);
    auto reader = journal.reader();
    CHECK(read_numbers(reader).size() == 11);
    CHECK(reader.position().lost.unwritten == 4);
    CHECK(journal.write(1).lost_for(JournalLoss::killed) == 0);
}

TEST_CASE("without a place for the count of records the journal works, and says what it lacks")
{
    TestJournal journal;
    CHECK(journal.open().uncounted_reason().empty());
    journal.options.counter_directory = "/nonexistent";
    auto writer = journal.open();
    CHECK(writer.uncounted_reason().starts_with("cannot make /nonexistent/loopwatch-"));
    TestJournal::append(writer, 1);
    CHECK(writer.close());
    CHECK(writer.stats().records == 1);
}

TEST_CASE("the journal stays below its limit of bytes, and what it removes is counted to the last record")
{
    TestJournal journal;
    journal.options.total_bytes = 64 << 10;
    auto writer = journal.open();
    for (int i = 0; i < 3000; ++i) {
        TestJournal::append(writer, 1);
        settle(writer);
    }
    CHECK(writer.close());
    const auto stats = writer.stats();
    CHECK(stats.removed_segments > 5);
    CHECK(stats.segment_bytes <= journal.options.total_bytes);
    CHECK(stats.segment_bytes > journal.options.total_bytes / 2);
    auto reader = journal.reader();
    const auto numbers = read_numbers(reader);
    CHECK(numbers == numbers_between(stats.removed_records + 1, 3001));
    // Also of what another process wrote.
    const auto more = journal.write(600);
    CHECK(more.removed_segments > 0);
    auto again = journal.reader();
    CHECK(read_numbers(again) == numbers_between(stats.removed_records + more.removed_records + 1, 3601));
}

TEST_CASE("what is older than the limit is removed, and a step of the date makes nothing old")
{
    TestJournal journal;
    journal.options.max_age_ns = 1000 * second;
    const auto day = 86'400 * second;
    auto writer = journal.open();
    auto now = journal.clock.mono_ns;
    const auto advance = [&](std::uint64_t seconds) {
        now += seconds * second;
        writer.tick(now);
        settle(writer);
    };
    advance(1);
    TestJournal::append(writer, 1);
    advance(1);
    journal.clock.realtime_ns += 400 * day;
    advance(200);  // an eighth of the limit: the next record is in another segment
    TestJournal::append(writer, 1);
    advance(1);
    CHECK(writer.stats().segments == 2);
    CHECK(writer.stats().removed_records == 0);
    advance(900);
    TestJournal::append(writer, 1);
    advance(1);
    CHECK(writer.stats().removed_records == 1);
    CHECK(writer.close());
    auto reader = journal.reader();
    CHECK(read_numbers(reader) == std::vector<std::uint64_t>{2, 3});
}

TEST_CASE("segments of an earlier process are old by their files' times")
{
    TestJournal journal;
    journal.write(1);
    const auto old = journal.segments()[0];
    std::filesystem::last_write_time(old, std::filesystem::last_write_time(old) - std::chrono::hours(24 * 8));
    CHECK(journal.write(1).removed_records == 1);
    CHECK(!std::filesystem::exists(old));
}

TEST_CASE("records that the disk has no room for are lost and counted, and writing goes on when it has")
{
    TestJournal journal;
    journal.options.segment_bytes = 1 << 20;
    std::uint64_t asked = 0;
    journal.options.on_segment = [&] { ++asked; };
    auto writer = journal.open();
    TestJournal::append(writer, 20);
    {
        const FileSizeLimit limit(5000);
        for (int i = 0; i < 400; ++i) {
            TestJournal::append(writer, 1);
            settle(writer);
        }
    }
    const auto full = settle(writer);
    CHECK(full.lost_for(JournalLoss::write_failed) > 0);
    CHECK(full.records > 20);
    CHECK(asked > 0);
    {
        const FileSizeLimit limit(0);
        TestJournal::append(writer, 200);
        settle(writer);
    }
    CHECK(writer.stats().last_failure.starts_with("cannot write: File too large"));
    TestJournal::append(writer, 100);
    const auto lost = settle(writer).lost_for(JournalLoss::write_failed);
    TestJournal::append(writer, 100);
    CHECK(writer.close());
    const auto stats = writer.stats();
    CHECK(stats.lost_for(JournalLoss::write_failed) == lost);
    CHECK(stats.records + stats.all_lost() == 820);
    CHECK(stats.last_failure.empty());
    auto reader = journal.reader();
    CHECK(read_numbers(reader).size() == stats.records);
    CHECK(reader.position().lost.unwritten == stats.all_lost());
    CHECK(reader.position().lost.all() == stats.all_lost());
    for (const auto& path : journal.segments()) CHECK(std::filesystem::file_size(path) > 0);
}

TEST_CASE("when what was written is synced is the policy's choice")
{
    TestJournal journal;
    const auto syncs = [&](JournalSync policy) {
        journal.options.sync = policy;
        auto writer = journal.open();
        writer.tick(1 * second);
        for (std::uint64_t now = 2; now < 14; ++now) {
            TestJournal::append(writer, 1);
            writer.tick(now * second);
            settle(writer);
        }
        const auto synced = writer.stats().synced_seq > 5;
        CHECK(writer.close());
        CHECK((policy == JournalSync::never || writer.stats().synced_seq == writer.stats().next_seq));
        CHECK(synced == (policy == JournalSync::timed));
        return writer.stats().syncs;
    };
    CHECK(syncs(JournalSync::never) == 0);
    CHECK(syncs(JournalSync::segment) == 1);
    CHECK(syncs(JournalSync::timed) == 3);
    CHECK(*parse_journal_sync("5s") == JournalSync::timed);
    CHECK(*parse_journal_sync("segment") == JournalSync::segment);
    CHECK(*parse_journal_sync("never") == JournalSync::never);
    CHECK(parse_journal_sync("1s").error().code == ExitCode::usage);
}
