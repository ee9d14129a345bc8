// SPDX-License-Identifier: Apache-2.0
#include "report/journal_recovery.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "report/journal_cursor.hpp"
#include "report/journal_frame.hpp"
#include "report/journal_line.hpp"

namespace loopwatch {

namespace {

// The number of its last line.
std::optional<std::uint64_t> last_number(std::string_view text)
{
    if (text.ends_with('\n')) text.remove_suffix(1);
    return number_of(text.substr(text.rfind('\n') + 1));
}

struct SegmentScan {
    std::uint64_t valid_bytes = 0;  // until the end of the last valid frame
    std::uint64_t next_seq = 0;
};

Result<SegmentScan> scan_segment(FrameScanner& scanner)
{
    SegmentScan scan;
    for (;;) {
        const auto step = scanner.next(scan.valid_bytes);
        if (!step) return step.error();
        if (!step->found) return scan;
        scan.valid_bytes = step->end;
        scan.next_seq = std::max(scan.next_seq, last_number(step->text).value_or(0) + 1);
    }
}

// False: it had no valid frame, and is removed.
Result<bool> heal_segment(const std::string& path, SegmentFile& segment, JournalRecovery& recovery)
{
    Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
    if (!file) return errno_error(ExitCode::failed, "cannot open " + path);
    FrameScanner scanner(std::move(file));
    const auto scan = scan_segment(scanner);
    if (!scan) return scan.error();
    recovery.healed_bytes += segment.bytes - std::min(segment.bytes, scan->valid_bytes);
    if (scan->valid_bytes == 0) {
        if (::unlink(path.c_str()) != 0) return errno_error(ExitCode::failed, "cannot remove " + path);
        return false;
    }
    if (scan->valid_bytes < segment.bytes &&
        ::ftruncate(scanner.file().raw(), static_cast<off_t>(scan->valid_bytes)) != 0)
        return errno_error(ExitCode::failed, "cannot cut the torn end off " + path);
    segment.bytes = scan->valid_bytes;
    recovery.next_seq = scan->next_seq;
    return true;
}

}  // namespace

Result<JournalRecovery> recover_journal(const std::string& state)
{
    JournalRecovery recovery;
    auto segments = list_segments(state);
    if (!segments) return std::move(segments).error();
    recovery.segments = std::move(*segments);
    // Numbers of segments are not used again: a cursor may be in one that is removed here.
    if (!recovery.segments.empty()) recovery.next_segment = recovery.segments.back().index + 1;
    while (!recovery.segments.empty()) {
        auto& last = recovery.segments.back();
        const auto kept = heal_segment(segment_path(state, last.index), last, recovery);
        if (!kept) return kept.error();
        if (*kept) break;
        recovery.segments.pop_back();
    }
    for (const auto& cursor : load_cursors(state)) {
        recovery.next_seq = std::max(recovery.next_seq, cursor.seq);
        recovery.next_segment = std::max(recovery.next_segment, cursor.segment + 1);
    }
    return recovery;
}

std::optional<std::uint64_t> first_number_in(const std::string& segment)
{
    Fd file(::open(segment.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) return std::nullopt;
    FrameScanner scanner(std::move(file));
    const auto step = scanner.next(0);
    if (!step || !step->found) return std::nullopt;
    const auto first = step->text.substr(0, step->text.find('\n'));
    const auto of_header = first_number_of(first);
    return of_header ? of_header : number_of(first);
}

}  // namespace loopwatch
