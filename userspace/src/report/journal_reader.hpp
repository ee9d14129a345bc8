// SPDX-License-Identifier: Apache-2.0
//
// JournalReader: open() → read() batches and acknowledge() them, or rewind() → again. It gets each record of the
// journal in order, at least once, also over restarts and while the journal is written; what it cannot get is counted,
// to the last record. It may be in another process than the writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "report/journal_cursor.hpp"
#include "report/journal_frame.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct JournalBatch {
    std::string text;  // whole lines, with those that segments begin with
    std::uint64_t records = 0;
    std::uint64_t first_seq = 0, last_seq = 0;  // of its records
    ReaderLosses lost;                          // before or within it
};

struct BatchLimits {
    std::uint64_t bytes = 1 << 20;  // one line is always taken
    std::uint64_t records = 10'000;
};

class JournalReader {
public:
    // `cursor`: its name; empty: it begins with the oldest record, and how far it comes is not saved. Fails if the name
    // cannot be one, or its file is no cursor.
    static Result<JournalReader> open(std::string state, std::string cursor);

    // What follows the last batch; empty: there is nothing yet. Fails if a file cannot be read.
    Result<JournalBatch> read(const BatchLimits& limits = {});
    // All that was read is delivered: saved so that neither a crash nor a power failure forgets it. Fails if it cannot
    // be saved, and then may be called again.
    Result<void> acknowledge();
    // Back to what was acknowledged.
    void rewind();

    // Calls `take` with each stack that a record from here on may name: those of this segment that were read before.
    // For a reader that begins within a segment.
    Result<void> replay_stacks(const std::function<void(std::string_view)>& take) const;

    // How far it has read, and how much of that is acknowledged.
    const JournalCursor& position() const noexcept { return here_; }
    const JournalCursor& acknowledged() const noexcept { return acknowledged_; }

private:
    JournalReader(std::string state, std::string name, const JournalCursor& cursor);
    Result<bool> open_segment();
    Result<bool> next_frame();
    Result<bool> next_frame_here();
    bool is_removed() const;
    void leave_segment(std::uint64_t unread_bytes);
    void count_corrupt(std::uint64_t bytes);
    void take_line(JournalBatch& batch);
    void take_record(std::uint64_t seq, JournalBatch& batch);

    std::string state_, name_;
    JournalCursor acknowledged_, here_;
    std::optional<FrameScanner> scanner_;  // of the segment here
    bool complete_ = false;                // it grows no more
    std::string_view text_;                // what is left of the frame
    std::uint64_t frame_end_ = 0;
    bool resumed_ = true;   // the first frame may have records that were acknowledged
    bool skipped_ = false;  // since the last record: bytes that are damaged
    bool jumped_ = false;   // since the last record: a segment that is gone
};

}  // namespace loopwatch
