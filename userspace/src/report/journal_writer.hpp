// SPDX-License-Identifier: Apache-2.0
//
// JournalWriter: open() → append() and tick() as time passes → close(). The records go to the disk on a thread of the
// journal's own, through a queue of bounded size: append() and tick() never wait for it. What the journal has no room
// for is lost, counted, and seen by its readers as a gap in the numbers.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "report/journal_frame.hpp"
#include "report/journal_stats.hpp"
#include "util/result.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

class JournalThread;

enum class JournalSync { never, segment, timed };
// "never", "segment" or "5s". Fails with ExitCode::usage.
Result<JournalSync> parse_journal_sync(std::string_view text);

struct JournalOptions {
    std::string state;    // the state directory
    std::string version;  // of loopwatch, for the segments' first line
    std::string host;     // likewise
    JournalSync sync = JournalSync::timed;
    std::uint64_t segment_bytes = 8 << 20;  // compressed; a limit
    std::uint64_t total_bytes = 512 << 20;  // of all segments; a limit, but for one segment
    std::uint64_t max_age_ns = 7 * 86'400 * 1'000'000'000ull;
    std::uint64_t queue_bytes = 8 << 20;        // of text, in memory
    std::size_t frame_bytes = max_frame_bytes;  // of text; less for tests
    std::uint64_t flush_ns = 1'000'000'000;     // after which a record is written at the latest
    std::uint64_t sync_ns = 5'000'000'000;      // of JournalSync::timed
    // A tmpfs, for the count of records that were made (MadeCounter).
    std::string counter_directory = "/dev/shm";
    // Called by append() and tick(): what the next records name must be written again before them, such as stacks.
    std::function<void()> on_segment = [] {};
    std::function<ClockAnchor()> clock = ClockAnchor::now;
};

class JournalWriter {
public:
    // Fails if another process writes this journal, or the directory cannot be written to or is of another version.
    static Result<JournalWriter> open(JournalOptions options);
    JournalWriter(JournalWriter&&) noexcept;
    JournalWriter& operator=(JournalWriter&&) noexcept;
    // As close(), with what is left unwritten counted by the next process.
    ~JournalWriter();

    // One or several lines of NDJSON, each of which is a record; they remain in one segment. The number of the last
    // one.
    std::uint64_t append(std::string_view lines);
    // CLOCK_MONOTONIC. To be called each second or more often: it decides what is due.
    void tick(std::uint64_t now_ns);
    // Writes what was appended, syncs it unless the policy is `never`, and waits for that as long as `limit`.
    Result<void> close(std::chrono::milliseconds limit = std::chrono::seconds(5));

    JournalStats stats() const;
    // A record's identity everywhere is "INSTANCE:SEQ".
    const std::string& instance() const noexcept;
    // Why records that a SIGKILL takes are not counted; empty: they are.
    const std::string& uncounted_reason() const noexcept;

private:
    explicit JournalWriter(std::shared_ptr<JournalThread> thread);
    std::shared_ptr<JournalThread> thread_;
};

}  // namespace loopwatch
