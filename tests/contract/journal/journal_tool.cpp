// SPDX-License-Identifier: Apache-2.0
//
// What the daemon does with a journal, without the daemon:
//   journal_tool write STATE [key=value…]  appends records {"n":SEQ,…}; "settled SEQ" as they are safe, and the counts
//        records=N (0: until it is killed)  made=FILE (how many, begun and done)  payload=BYTES  segment= total= frame=
//        fsync=never|segment|5s  pause-us=N after each record
//   journal_tool read STATE CURSOR [FILE]  all that there is, each checked; appended to FILE before it is acknowledged
//   journal_tool open STATE                how long that takes, how much memory, and what was found
//   journal_tool hold STATE                until stdin ends
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include <fmt/format.h>

#include "report/journal_line.hpp"
#include "report/journal_reader.hpp"
#include "report/journal_writer.hpp"
#include "util/fd.hpp"
#include "util/log.hpp"
#include "util/wall_clock.hpp"

using namespace loopwatch;

namespace {

using Settings = std::map<std::string, std::string>;

int failed(const Error& error)
{
    print_error(error);
    return 1;
}

std::uint64_t number(const Settings& settings, const std::string& key, std::uint64_t otherwise)
{
    const auto found = settings.find(key);
    return found == settings.end() ? otherwise : std::strtoull(found->second.c_str(), nullptr, 10);
}

// Survives a SIGKILL: records whose append() began, and those whose append() is done.
struct Made {
    std::uint64_t begun, done;
};

Made* map_made(const Settings& settings)
{
    static Made none;
    const auto found = settings.find("made");
    if (found == settings.end()) return &none;
    const Fd file(::open(found->second.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file || ::ftruncate(file.raw(), sizeof(Made)) != 0) std::abort();
    void* const mapped = ::mmap(nullptr, sizeof(Made), PROT_READ | PROT_WRITE, MAP_SHARED, file.raw(), 0);
    if (mapped == MAP_FAILED) std::abort();
    return static_cast<Made*>(mapped);
}

void print_stats(const JournalStats& stats)
{
    std::string lost;
    for (std::size_t i = 0; i < journal_losses; ++i)
        lost += fmt::format("{}\"{}\":{}", i ? "," : "", journal_loss_names[i], stats.lost[i]);
    fmt::print(
        "{{\"next_seq\":{},\"records\":{},\"lost\":{{{}}},\"raw_bytes\":{},\"written_bytes\":{},\"frames\":{},"
        "\"segments\":{},\"segment_bytes\":{},\"removed_segments\":{},\"removed_records\":{},\"healed_bytes\":{}}}\n",
        stats.next_seq, stats.records, lost, stats.raw_bytes, stats.written_bytes, stats.frames, stats.segments,
        stats.segment_bytes, stats.removed_segments, stats.removed_records, stats.healed_bytes);
    std::fflush(stdout);
}

Result<JournalWriter> open_writer(const std::string& state, const Settings& settings)
{
    JournalOptions options;
    options.state = state;
    options.version = "0";
    options.host = "here";
    options.segment_bytes = number(settings, "segment", options.segment_bytes);
    options.total_bytes = number(settings, "total", options.total_bytes);
    options.frame_bytes = number(settings, "frame", options.frame_bytes);
    if (const auto sync = settings.find("fsync"); sync != settings.end()) {
        const auto parsed = parse_journal_sync(sync->second);
        if (!parsed) return parsed.error();
        options.sync = *parsed;
    }
    return JournalWriter::open(options);
}

// Half random, as the ids, addresses and durations of records are.
std::string payload(std::uint64_t bytes, std::mt19937_64& random)
{
    std::string text;
    while (text.size() < bytes) text += fmt::format("{:016x} at asio::detail::reactor", random());
    text.resize(bytes);
    return text;
}

int write(const std::string& state, const Settings& settings)
{
    auto writer = open_writer(state, settings);
    if (!writer) return failed(writer.error());
    std::mt19937_64 random(1);
    const auto records = number(settings, "records", 0), payload_bytes = number(settings, "payload", 100);
    const auto pause_us = number(settings, "pause-us", 0);
    auto* const made = map_made(settings);
    std::uint64_t settled = 0;
    for (std::uint64_t done = 0; records == 0 || done < records; ++done) {
        const auto stats = writer->stats();
        if (stats.settled_seq > settled) fmt::print("settled {}\n", settled = stats.settled_seq);
        std::fflush(stdout);
        const auto line = fmt::format(R"({{"n":{},"text":"{}"}})", stats.next_seq, payload(payload_bytes, random));
        std::atomic_ref(made->begun).fetch_add(1);
        writer->append(line);
        std::atomic_ref(made->done).fetch_add(1);
        writer->tick(monotonic_ns());
        if (pause_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
        // Faster than the disk, without a loss.
        while (records > 0 && pause_us == 0 && writer->stats().queued_bytes > (4 << 20)) std::this_thread::yield();
    }
    const auto closed = writer->close(std::chrono::minutes(1));
    print_stats(writer->stats());
    return closed ? 0 : failed(closed.error());
}

int read(const std::string& state, const std::string& cursor, const std::string& to)
{
    auto reader = JournalReader::open(state, cursor);
    if (!reader) return failed(reader.error());
    std::ofstream file(to, std::ios::app);
    for (;;) {
        const auto batch = reader->read();
        if (!batch) return failed(batch.error());
        bool as_written = true;
        for_each_line(batch->text, [&](std::string_view line) {
            const auto seq = number_of(line);
            as_written = as_written && (!seq || line.find(fmt::format("\"n\":{},", *seq)) != std::string_view::npos);
        });
        if (!as_written) return failed({ExitCode::failed, "a record is not the one of its number", ""});
        file << batch->text << std::flush;
        const bool is_end = batch->text.empty();
        if (const auto saved = reader->acknowledge(); !saved) return failed(saved.error());
        if (is_end) break;
    }
    const auto& here = reader->position();
    fmt::print(
        "{{\"records\":{},\"removed\":{},\"corrupt\":{},\"unwritten\":{},\"next_seq\":{},\"corrupt_bytes\":{}}}\n",
        here.records, here.lost.removed, here.lost.corrupt, here.lost.unwritten, here.seq, here.corrupt_bytes);
    return 0;
}

// In KiB: what it has now, and has had at most.
std::pair<long, long> memory()
{
    std::ifstream file("/proc/self/status");
    long now = 0, most = 0;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("VmRSS:")) now = std::atol(line.c_str() + 6);
        if (line.starts_with("VmHWM:")) most = std::atol(line.c_str() + 6);
    }
    return {now, most};
}

int open(const std::string& state, const Settings& settings)
{
    const auto before = memory();
    const auto begun_ns = monotonic_ns();
    auto writer = open_writer(state, settings);
    const auto ms = (monotonic_ns() - begun_ns) / 1'000'000;
    if (!writer) return failed(writer.error());
    writer->append(fmt::format(R"({{"n":{},"text":""}})", writer->stats().next_seq));
    if (const auto closed = writer->close(); !closed) return failed(closed.error());
    const auto after = memory();
    fmt::print("{{\"ms\":{},\"more_kib\":{},\"peak_kib\":{}}}\n", ms, after.first - before.first,
               after.second - before.first);
    print_stats(writer->stats());
    return 0;
}

int hold(const std::string& state, const Settings& settings)
{
    auto writer = open_writer(state, settings);
    if (!writer) return failed(writer.error());
    fmt::print("held by {}\n", ::getpid());
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string what = argc > 2 ? argv[1] : "", state = argc > 2 ? argv[2] : "";
    Settings settings;
    for (int i = 3; i < argc; ++i) {
        const std::string text = argv[i];
        settings[text.substr(0, text.find('='))] = text.substr(std::min(text.size(), text.find('=') + 1));
    }
    if (what == "write") return write(state, settings);
    if (what == "read" && argc > 3) return read(state, argv[3], argc > 4 ? argv[4] : "/dev/null");
    if (what == "open") return open(state, settings);
    if (what == "hold") return hold(state, settings);
    std::fputs("usage: journal_tool write|read|open|hold STATE …\n", stderr);
    return 2;
}
