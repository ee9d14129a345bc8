// SPDX-License-Identifier: Apache-2.0
//
// What a journal's writer has done since it was opened. Each record that was ever numbered is in the journal, or was
// removed with a segment, or is counted in `lost`.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace loopwatch {

enum class JournalLoss {
    queue_full,    // the disk was slower than records came
    write_failed,  // the disk was full, or broken
    too_long,      // a record that no frame has room for, or that is no JSON object
    killed,        // on their way when the last process was killed
};
inline constexpr std::size_t journal_losses = 4;
inline constexpr std::array<std::string_view, journal_losses> journal_loss_names = {"queue_full", "write_failed",
                                                                                    "too_long", "killed"};

struct JournalStats {
    std::uint64_t next_seq = 1;       // of the next record
    std::uint64_t settled_seq = 1;    // records below are written, so a SIGKILL takes none of them, or counted as lost
    std::uint64_t synced_seq = 1;     // records below also survive a power failure, or are counted as lost
    std::uint64_t records = 0;        // written
    std::uint64_t raw_bytes = 0;      // text of frames
    std::uint64_t written_bytes = 0;  // frames
    std::uint64_t frames = 0;
    std::uint64_t segments = 0;                               // that there are
    std::uint64_t segment_bytes = 0;                          // that these take on the disk
    std::uint64_t removed_segments = 0, removed_records = 0;  // by the limits of bytes and age
    std::uint64_t healed_bytes = 0;                           // cut off the last segment as it was opened
    std::uint64_t queued_bytes = 0;                           // of records that are not settled
    std::uint64_t queued_frames = 0;                          // that the disk has not taken
    std::uint64_t syncs = 0, failed_syncs = 0;
    std::array<std::uint64_t, journal_losses> lost = {};
    std::string last_failure;  // of a write or sync; empty: none since a write succeeded

    std::uint64_t lost_for(JournalLoss reason) const { return lost[static_cast<std::size_t>(reason)]; }
    std::uint64_t all_lost() const
    {
        std::uint64_t sum = 0;
        for (const auto count : lost) sum += count;
        return sum;
    }
};

}  // namespace loopwatch
