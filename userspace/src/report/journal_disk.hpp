// SPDX-License-Identifier: Apache-2.0
//
// JournalDisk: chunks of lines become frames in segments. It may wait for the disk, on the journal's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "report/journal_frame.hpp"
#include "report/journal_recovery.hpp"
#include "report/journal_stats.hpp"
#include "report/journal_writer.hpp"
#include "report/segment_store.hpp"
#include "report/state_directory.hpp"

namespace loopwatch {

// What becomes one frame.
struct JournalChunk {
    std::string text;  // numbered lines
    std::uint64_t records = 0;
    std::uint64_t first_seq = 0, last_seq = 0;
    std::uint64_t next_seq = 0;  // behind last_seq those that were lost
    // Counted by the thread that appends. Stacks are known within one, so of one that failed nothing more is written.
    std::uint64_t segment = 0;
    std::uint64_t now_ns = 0;
};

class JournalDisk {
public:
    JournalDisk(const JournalOptions& options, StateDirectory state, const JournalRecovery& found);

    const std::string& instance() const noexcept { return state_.instance(); }
    // The bytes of the frame. Fails with none of it written.
    Result<std::uint64_t> write(const JournalChunk& chunk);
    Result<void> sync();
    void trim(std::uint64_t room_bytes, std::uint64_t now_ns);
    void finish();
    // Adds what it knows.
    void describe(JournalStats& stats) const;

private:
    Result<std::uint64_t> try_write(const JournalChunk& chunk);
    Result<void> begin(const JournalChunk& chunk);
    std::string header(const JournalChunk& chunk) const;

    StateDirectory state_;
    bool syncs_;
    std::string version_, host_, boot_id_;
    std::function<ClockAnchor()> clock_;
    SegmentStore store_;
    FrameEncoder encoder_;
    std::uint64_t next_index_;
    std::uint64_t segment_ = 0;     // the chunks' segment that is being written
    std::optional<Error> failure_;  // of it: nothing more of it is written
    std::uint64_t removed_segments_ = 0, removed_records_ = 0, healed_bytes_ = 0;
};

}  // namespace loopwatch
