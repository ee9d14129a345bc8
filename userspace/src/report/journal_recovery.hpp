// SPDX-License-Identifier: Apache-2.0
//
// What a writer needs of a journal that is there: where its numbers go on. Only the last segment is read, a frame at a
// time; its end, if it was torn, is cut off.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/journal_files.hpp"
#include "util/result.hpp"

namespace loopwatch {

struct JournalRecovery {
    std::vector<SegmentFile> segments;  // by index
    std::uint64_t next_segment = 1;
    std::uint64_t next_seq = 1;
    std::uint64_t healed_bytes = 0;  // cut off
};

// Numbers that a reader has seen are not used again either: without fsync the journal may have lost its end with the
// machine's power, but not the cursors.
Result<JournalRecovery> recover_journal(const std::string& state);

// Of the first frame that can be read; none: there is none.
std::optional<std::uint64_t> first_number_in(const std::string& segment);

}  // namespace loopwatch
