// SPDX-License-Identifier: Apache-2.0
#include "report/journal_disk.hpp"

#include <utility>

#include "output/record_fields.hpp"
#include "output/record_json.hpp"

namespace loopwatch {

namespace {

std::string boot_id_of_machine()
{
    auto text = read_small_file("/proc/sys/kernel/random/boot_id").value_or(std::nullopt).value_or("");
    return text.substr(0, text.find('\n'));
}

}  // namespace

JournalDisk::JournalDisk(const JournalOptions& options, StateDirectory state, const JournalRecovery& found)
    : state_(std::move(state)),
      syncs_(options.sync != JournalSync::never),
      version_(options.version),
      host_(options.host),
      boot_id_(boot_id_of_machine()),
      clock_(options.clock),
      store_(options.state, {options.total_bytes, options.max_age_ns}, found.segments, options.clock()),
      next_index_(found.next_segment),
      healed_bytes_(found.healed_bytes)
{
}

std::string JournalDisk::header(const JournalChunk& chunk) const
{
    const auto now = clock_();
    return segment_line({now.mono_ns, now.realtime_ns, state_.instance(), boot_id_, chunk.first_seq, version_},
                        {host_, now});
}

// Each attempt has an index of its own: a reader may have opened the file of one that failed.
Result<void> JournalDisk::begin(const JournalChunk& chunk)
{
    finish();
    segment_ = chunk.segment;
    failure_.reset();
    if (auto begun = store_.begin(next_index_++, chunk.first_seq); !begun) return begun;
    return syncs_ ? sync_directory(segments_path(state_.path())) : Result<void>();
}

Result<std::uint64_t> JournalDisk::write(const JournalChunk& chunk)
{
    if (chunk.segment == segment_ && failure_) return *failure_;
    auto written = try_write(chunk);
    if (!written) {
        failure_ = written.error();
        store_.finish();
    }
    return written;
}

Result<std::uint64_t> JournalDisk::try_write(const JournalChunk& chunk)
{
    std::string with_header;
    if (chunk.segment != segment_) {
        if (auto begun = begin(chunk); !begun) return std::move(begun).error();
        with_header = header(chunk) + chunk.text;
    }
    const auto frame = encoder_.encode(with_header.empty() ? chunk.text : with_header);
    if (!frame) return frame.error();
    trim(frame->size(), chunk.now_ns);
    if (auto done = store_.append(*frame, chunk.now_ns); !done) return std::move(done).error();
    return frame->size();
}

Result<void> JournalDisk::sync()
{
    return store_.sync();
}

void JournalDisk::trim(std::uint64_t room_bytes, std::uint64_t now_ns)
{
    const auto removed = store_.trim(room_bytes, now_ns);
    removed_segments_ += removed.segments;
    removed_records_ += removed.records;
}

void JournalDisk::finish()
{
    // A failure shows in the next sync that is waited for, or nowhere: the segment's frames have checksums.
    if (syncs_) [[maybe_unused]]
        const auto synced = store_.sync().has_value();
    store_.finish();
}

void JournalDisk::describe(JournalStats& stats) const
{
    stats.segments = store_.segments();
    stats.segment_bytes = store_.bytes();
    stats.removed_segments = removed_segments_;
    stats.removed_records = removed_records_;
    stats.healed_bytes = healed_bytes_;
}

}  // namespace loopwatch
