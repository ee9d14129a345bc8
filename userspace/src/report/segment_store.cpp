// SPDX-License-Identifier: Apache-2.0
#include "report/segment_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "report/journal_recovery.hpp"

namespace loopwatch {

namespace {

// What a file takes on the disk: a thousand restarts leave a thousand small ones.
std::uint64_t on_disk(std::uint64_t bytes)
{
    constexpr std::uint64_t page = 4096;
    return (bytes + page - 1) / page * page;
}

}  // namespace

SegmentStore::SegmentStore(std::string state, SegmentLimits limits, const std::vector<SegmentFile>& found,
                           ClockAnchor now)
    : state_(std::move(state)), limits_(limits)
{
    for (const auto& one : found) {
        const auto written_ns = static_cast<std::uint64_t>(std::max<std::int64_t>(one.written_ns, 0));
        const auto age_ns = now.realtime_ns - std::min(now.realtime_ns, written_ns);
        files_.push_back({one.index, one.bytes, std::nullopt, now.mono_ns - age_ns});
        bytes_ += on_disk(one.bytes);
    }
}

Result<void> SegmentStore::begin(std::uint64_t index, std::uint64_t first_seq)
{
    finish();
    const auto path = segment_path(state_, index);
    file_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file_) return errno_error(ExitCode::failed, "cannot make " + path);
    files_.push_back({index, 0, first_seq, 0});
    return {};
}

Result<void> SegmentStore::append(std::string_view frame, std::uint64_t now_ns)
{
    auto& entry = files_.back();
    std::uint64_t written = 0;
    if (auto done = write_all(file_.raw(), frame, written); !done) {
        // What remains if this fails too is a torn end, which readers pass over once there is a next segment.
        if (written > 0) [[maybe_unused]]
            const int cut = ::ftruncate(file_.raw(), static_cast<off_t>(entry.bytes));
        auto error = std::move(done).error();
        error.what += " " + segment_path(state_, entry.index);
        finish();
        return error;
    }
    bytes_ += on_disk(entry.bytes + written) - on_disk(entry.bytes);
    entry.bytes += written;
    entry.written_ns = now_ns;
    return {};
}

Result<void> SegmentStore::sync()
{
    if (!file_ || ::fdatasync(file_.raw()) == 0) return {};
    return errno_error(ExitCode::failed, "cannot sync " + segment_path(state_, files_.back().index));
}

void SegmentStore::finish()
{
    if (!file_) return;
    file_.reset();
    if (files_.back().bytes > 0) return;
    ::unlink(segment_path(state_, files_.back().index).c_str());
    files_.pop_back();
}

bool SegmentStore::is_too_old(const Entry& entry, std::uint64_t now_ns) const
{
    const auto age_ns = static_cast<std::int64_t>(now_ns - entry.written_ns);
    return age_ns > 0 && static_cast<std::uint64_t>(age_ns) > limits_.max_age_ns;
}

std::optional<std::uint64_t> SegmentStore::first_seq_of(const Entry& entry) const
{
    return entry.first_seq ? entry.first_seq : first_number_in(segment_path(state_, entry.index));
}

SegmentStore::Removed SegmentStore::trim(std::uint64_t room_bytes, std::uint64_t now_ns)
{
    Removed removed;
    while (files_.size() > 1 &&
           (bytes_ + on_disk(room_bytes) > limits_.total_bytes || is_too_old(files_.front(), now_ns))) {
        const auto& oldest = files_.front();
        const auto first = first_seq_of(oldest), next = first_seq_of(files_[1]);
        // One that cannot be removed is no longer looked after: the others still are.
        ::unlink(segment_path(state_, oldest.index).c_str());
        bytes_ -= on_disk(oldest.bytes);
        files_.pop_front();
        ++removed.segments;
        if (first && next && *next > *first) removed.records += *next - *first;
    }
    return removed;
}

}  // namespace loopwatch
