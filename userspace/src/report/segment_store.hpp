// SPDX-License-Identifier: Apache-2.0
//
// SegmentStore: the journal's files, as its writer sees them: begin() a segment → append() frames → sync() → finish().
// trim() removes the oldest ones. A segment that failed is ended at its last whole frame, and never appended to again.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/journal_files.hpp"
#include "util/fd.hpp"
#include "util/result.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

struct SegmentLimits {
    std::uint64_t total_bytes = 0;
    std::uint64_t max_age_ns = 0;
};

class SegmentStore {
public:
    struct Removed {
        std::uint64_t segments = 0;
        std::uint64_t records = 0;  // numbers in them, those of lost records too
    };

    // `found`: what is there, by index; `now`: when it was found. From then on only the monotonic clock counts: a step
    // of the date makes nothing old.
    SegmentStore(std::string state, SegmentLimits limits, const std::vector<SegmentFile>& found, ClockAnchor now);

    // A new file, which remains only if a frame is appended.
    Result<void> begin(std::uint64_t index, std::uint64_t first_seq);
    // Fails with none of it in the file.
    Result<void> append(std::string_view frame, std::uint64_t now_ns);
    Result<void> sync();
    void finish();
    // Makes room for so many bytes, and removes what is too old. The segment that is written is never removed.
    Removed trim(std::uint64_t room_bytes, std::uint64_t now_ns);

    std::uint64_t segments() const noexcept { return files_.size(); }
    std::uint64_t bytes() const noexcept { return bytes_; }

private:
    struct Entry {
        std::uint64_t index = 0, bytes = 0;
        std::optional<std::uint64_t> first_seq;  // none: of an earlier process, and not read yet
        std::uint64_t written_ns = 0;            // CLOCK_MONOTONIC, wraps below 0 for what is older
    };
    bool is_too_old(const Entry& entry, std::uint64_t now_ns) const;
    std::optional<std::uint64_t> first_seq_of(const Entry& entry) const;

    std::string state_;
    SegmentLimits limits_;
    std::deque<Entry> files_;  // by index; the last one is being written if file_ is open
    std::uint64_t bytes_ = 0;  // of all, in whole pages
    Fd file_;
};

}  // namespace loopwatch
