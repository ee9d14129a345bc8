// SPDX-License-Identifier: Apache-2.0
//
// A journal of which any byte may be anything: the input is its segments, each after two bytes with its size (in steps
// of 1; the last one takes the rest). Its reader and what heals it must agree on what is valid, and come to an end.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "invariant.hpp"
#include "report/journal_reader.hpp"
#include "report/journal_recovery.hpp"

using namespace loopwatch;

namespace {

struct State {
    State()
    {
        char pattern[] = "/tmp/loopwatch-fuzz-XXXXXX";
        hold(::mkdtemp(pattern) != nullptr, "a directory");
        path = pattern;
        std::filesystem::create_directories(segments_path(path));
        std::filesystem::create_directories(cursors_path(path));
    }
    ~State() { std::filesystem::remove_all(path); }
    std::string path;
};

std::uint64_t fill(const State& state, std::string_view input)
{
    std::uint64_t segments = 0;
    while (input.size() >= 2 && segments < 8) {
        const auto wanted =
            static_cast<std::size_t>(static_cast<unsigned char>(input[0])) << 8 | static_cast<unsigned char>(input[1]);
        input.remove_prefix(2);
        const auto bytes = input.substr(0, wanted);
        std::ofstream(segment_path(state.path, ++segments), std::ios::binary) << bytes;
        input.remove_prefix(bytes.size());
    }
    return segments;
}

// Reads all of it, in batches of `records`; the text.
std::string read_all(const State& state, std::uint64_t records)
{
    auto reader = JournalReader::open(state.path, "");
    hold(reader.has_value(), "a reader");
    std::string text;
    for (;;) {
        const auto batch = reader->read({1 << 20, records});
        hold(batch.has_value(), "files that can be read");
        hold(batch->records <= records, "no more than was asked for");
        if (batch->text.empty()) break;
        hold(batch->text.ends_with('\n'), "whole lines");
        text += batch->text;
    }
    // A damaged number may be any: the sum of what was missed has no bound. What was read has.
    hold(reader->position().corrupt_bytes <= 8 * 65'536, "no byte is damaged twice");
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const State state;
    const std::string input(data, data + size);
    const auto segments = fill(state, input);
    const auto all = read_all(state, 1'000'000);
    hold(all == read_all(state, 1), "the same in batches of one record");
    const auto found = recover_journal(state.path);
    hold(found.has_value(), "a journal that can be healed");
    hold(found->segments.size() <= segments, "no segment more");
    hold(all == read_all(state, 1'000'000), "nothing valid is cut off");
    const auto again = recover_journal(state.path);
    hold(again.has_value() && again->healed_bytes == 0, "healed once");
    return 0;
}
