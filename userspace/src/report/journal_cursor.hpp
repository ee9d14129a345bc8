// SPDX-License-Identifier: Apache-2.0
//
// JournalCursor: how far a reader of the journal has come, and what it missed on its way. It is saved as one file,
// DIR/cursors/NAME, which has either its old or its new content, whatever happens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "util/result.hpp"

namespace loopwatch {

// Records that were made and that this reader will not get.
struct ReaderLosses {
    std::uint64_t removed = 0;    // with segments that were removed before it came to them
    std::uint64_t corrupt = 0;    // in frames that are damaged
    std::uint64_t unwritten = 0;  // that the writer lost

    std::uint64_t all() const noexcept { return removed + corrupt + unwritten; }
    bool operator==(const ReaderLosses&) const = default;
};

struct JournalCursor {
    std::uint64_t segment = 0;
    std::uint64_t offset = 0;   // of a frame, in its segment
    std::uint64_t seq = 0;      // the next record; 0: the oldest that there is
    std::uint64_t records = 0;  // that it has got
    ReaderLosses lost;
    std::uint64_t corrupt_places = 0, corrupt_bytes = 0;

    bool operator==(const JournalCursor&) const = default;
};

// What a cursor may be called: letters, digits, "-", "_" and ".", 64 at most, and no "." in front.
bool is_cursor_name(const std::string& name);
// None: there is no such cursor yet.
Result<std::optional<JournalCursor>> load_cursor(const std::string& state, const std::string& name);
Result<void> save_cursor(const std::string& state, const std::string& name, const JournalCursor& cursor);
// All that can be read.
std::vector<JournalCursor> load_cursors(const std::string& state);

}  // namespace loopwatch
