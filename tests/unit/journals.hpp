// SPDX-License-Identifier: Apache-2.0
//
// A journal in a directory of one test: small frames and segments, and a clock that the test moves.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include "report/journal_files.hpp"
#include "report/journal_line.hpp"
#include "report/journal_reader.hpp"
#include "report/journal_writer.hpp"
#include "temporary_directory.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

struct TestJournal {
    TestJournal()
    {
        options.state = directory / "state";
        options.version = "1.2.3";
        options.host = "here";
        options.sync = JournalSync::never;
        options.counter_directory = directory / "";
        options.frame_bytes = 2048;
        options.segment_bytes = 8192;
        options.clock = [this] { return clock; };
    }

    JournalWriter open() const
    {
        auto writer = JournalWriter::open(options);
        if (!writer) FAIL(writer.error().what);
        return std::move(*writer);
    }
    // What a writer of that many records leaves.
    JournalStats write(std::uint64_t records, std::size_t payload = 40) const
    {
        auto writer = open();
        append(writer, records, payload);
        CHECK(writer.close());
        return writer.stats();
    }
    static void append(JournalWriter& writer, std::uint64_t records, std::size_t payload = 40)
    {
        for (std::uint64_t i = 0; i < records; ++i) writer.append(record(writer.stats().next_seq, payload));
    }
    // Text that is not compressed away.
    static std::string record(std::uint64_t seq, std::size_t payload = 40)
    {
        std::string text;
        for (auto state = seq * 0x9e3779b97f4a7c15; text.size() < payload; state = state * 6364136223846793005 + 1)
            text += fmt::format("{:08x}", state >> 32);
        return fmt::format(R"({{"n":{},"text":"{}"}})", seq, text.substr(0, payload)) + "\n";
    }
    JournalReader reader(const std::string& name = {}) const
    {
        auto opened = JournalReader::open(options.state, name);
        if (!opened) FAIL(opened.error().what);
        return std::move(*opened);
    }
    std::vector<std::string> segments() const
    {
        std::vector<std::string> paths;
        const auto files = list_segments(options.state);
        REQUIRE(files);
        for (const auto& file : *files) paths.push_back(segment_path(options.state, file.index));
        return paths;
    }

    TemporaryDirectory directory;
    JournalOptions options;
    ClockAnchor clock = ClockAnchor::now();
};

// Waits until the disk has all frames that were full or due.
inline JournalStats settle(JournalWriter& writer)
{
    auto stats = writer.stats();
    while (stats.queued_frames > 0) {
        std::this_thread::yield();
        stats = writer.stats();
    }
    return stats;
}

// All records that there are, by number; each must be the one of its number.
inline std::vector<std::uint64_t> read_numbers(JournalReader& reader, const BatchLimits& limits = {})
{
    std::vector<std::uint64_t> numbers;
    for (;;) {
        const auto batch = reader.read(limits);
        REQUIRE(batch);
        if (batch->text.empty()) return numbers;
        for_each_line(batch->text, [&](std::string_view line) {
            const auto seq = number_of(line);
            if (!seq) return;
            if (line.find(fmt::format("\"n\":{},", *seq)) == std::string_view::npos) FAIL(line);
            numbers.push_back(*seq);
        });
    }
}

inline std::vector<std::uint64_t> numbers_between(std::uint64_t first, std::uint64_t end)
{
    std::vector<std::uint64_t> numbers;
    for (; first < end; ++first) numbers.push_back(first);
    return numbers;
}

}  // namespace loopwatch
