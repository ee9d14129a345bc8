// SPDX-License-Identifier: Apache-2.0
#include "report/journal_reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <utility>

#include "report/journal_files.hpp"
#include "report/journal_line.hpp"

namespace loopwatch {

Result<JournalReader> JournalReader::open(std::string state, std::string cursor)
{
    JournalCursor from;
    if (!cursor.empty()) {
        if (!is_cursor_name(cursor))
            return Error{ExitCode::usage, "'" + cursor + "' cannot be the name of a cursor",
                         "letters, digits, '-', '_' and '.', 64 at most"};
        const auto saved = load_cursor(state, cursor);
        if (!saved) return saved.error();
        from = saved->value_or(JournalCursor{});
    }
    return JournalReader(std::move(state), std::move(cursor), from);
}

JournalReader::JournalReader(std::string state, std::string name, const JournalCursor& cursor)
    : state_(std::move(state)), name_(std::move(name)), acknowledged_(cursor), here_(cursor)
{
}

void JournalReader::rewind()
{
    here_ = acknowledged_;
    scanner_.reset();
    text_ = {};
    resumed_ = true;
    skipped_ = jumped_ = false;
}

Result<void> JournalReader::acknowledge()
{
    if (here_ == acknowledged_) return {};
    if (!name_.empty())
        if (auto saved = save_cursor(state_, name_, here_); !saved) return saved;
    acknowledged_ = here_;
    return {};
}

// False: there is no segment from here on, yet.
Result<bool> JournalReader::open_segment()
{
    for (;;) {
        const auto found = segment_from(state_, here_.segment);
        if (!found) return false;
        const auto path = segment_path(state_, *found);
        Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
        if (!file && errno == ENOENT) continue;  // removed meanwhile
        if (!file) return errno_error(ExitCode::failed, "cannot open " + path);
        if (*found != here_.segment) {
            // The oldest ones are removed, and each attempt to write one takes an index: other gaps are no losses.
            jumped_ = segment_from(state_, 0) == found;
            here_.segment = *found;
            here_.offset = 0;
        }
        complete_ = false;
        scanner_.emplace(std::move(file));
        return true;
    }
}

// The bytes are there as long as the file is open, but the journal's limit would not be one.
bool JournalReader::is_removed() const
{
    struct stat status = {};
    return ::fstat(scanner_->file().raw(), &status) == 0 && status.st_nlink == 0;
}

void JournalReader::count_corrupt(std::uint64_t bytes)
{
    if (bytes == 0) return;
    ++here_.corrupt_places;
    here_.corrupt_bytes += bytes;
    skipped_ = true;
}

void JournalReader::leave_segment(std::uint64_t unread_bytes)
{
    count_corrupt(unread_bytes);
    scanner_.reset();
    resumed_ = false;
    ++here_.segment;
    here_.offset = 0;
}

// False: there is nothing more, yet.
Result<bool> JournalReader::next_frame()
{
    for (;;) {
        if (!scanner_)
            if (auto opened = open_segment(); !opened || !*opened) return opened;
        if (is_removed()) {
            jumped_ = true;
            leave_segment(0);
            continue;
        }
        const auto found = next_frame_here();
        if (!found) return found;
        if (*found) return true;
        if (scanner_) return false;  // it is the last one
    }
}

// False: with no scanner_ this segment is at its end, else the journal is.
Result<bool> JournalReader::next_frame_here()
{
    const auto step = scanner_->next(here_.offset);
    if (!step) return step.error();
    if (step->found) {
        count_corrupt(step->skipped);
        resumed_ = resumed_ && step->skipped == 0;
        here_.offset = step->offset;
        frame_end_ = step->end;
        text_ = step->text;
        return true;
    }
    if (complete_) {
        leave_segment(step->skipped);
        return false;
    }
    // What is no whole frame may become one, until there is a next segment. It may have become one before that was
    // seen.
    complete_ = segment_from(state_, here_.segment + 1).has_value();
    return complete_ ? next_frame_here() : Result<bool>(false);
}

void JournalReader::take_record(std::uint64_t seq, JournalBatch& batch)
{
    if (here_.seq != 0 && seq > here_.seq) {
        const auto missing = seq - here_.seq;
        const auto reason = jumped_    ? &ReaderLosses::removed
                            : skipped_ ? &ReaderLosses::corrupt
                                       : &ReaderLosses::unwritten;
        here_.lost.*reason += missing;
        batch.lost.*reason += missing;
    }
    skipped_ = jumped_ = false;
    here_.seq = seq + 1;
    ++here_.records;
    if (batch.records++ == 0) batch.first_seq = seq;
    batch.last_seq = seq;
}

void JournalReader::take_line(JournalBatch& batch)
{
    const auto line = text_.substr(0, text_.find('\n') + 1);
    const auto seq = number_of(line);
    const auto of_segment = first_number_of(line);
    const bool is_known = resumed_ && (seq ? *seq < here_.seq : of_segment && *of_segment < here_.seq);
    if (!is_known && (seq || of_segment)) {
        if (seq) take_record(*seq, batch);
        batch.text += line;
    }
    text_.remove_prefix(line.size());
    if (!text_.empty()) return;
    here_.offset = frame_end_;
    resumed_ = false;
}

Result<JournalBatch> JournalReader::read(const BatchLimits& limits)
{
    JournalBatch batch;
    while (batch.text.size() < limits.bytes && batch.records < limits.records) {
        if (text_.empty()) {
            const auto more = next_frame();
            if (!more) return more.error();
            if (!*more) break;
        }
        const auto next_bytes = text_.find('\n') + 1;
        if (!batch.text.empty() && batch.text.size() + next_bytes > limits.bytes) break;
        take_line(batch);
    }
    return batch;
}

Result<void> JournalReader::replay_stacks(const std::function<void(std::string_view)>& take) const
{
    Fd file(::open(segment_path(state_, here_.segment).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!file) return {};  // removed: what is read next begins a segment
    FrameScanner scanner(std::move(file));
    for (std::uint64_t offset = 0; offset <= here_.offset;) {
        const auto step = scanner.next(offset);
        if (!step) return step.error();
        if (!step->found || step->offset > here_.offset) break;
        for_each_line(step->text, [&](std::string_view line) {
            if (is_stack_line(line) && number_of(line).value_or(here_.seq) < here_.seq) take(line);
        });
        offset = step->end;
    }
    return {};
}

}  // namespace loopwatch
