// SPDX-License-Identifier: Apache-2.0
#include "report/journal_thread.hpp"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "report/journal_line.hpp"

namespace loopwatch {

namespace {

// The segment's own line comes before the first chunk: 400 bytes, with a host name of 64 and a version.
constexpr std::size_t header_room = 1024;
constexpr std::uint64_t trim_interval_ns = 60'000'000'000;
// Records are removed by segments: of one that is written for so long at most none is kept much longer than asked for.
constexpr std::uint64_t segments_an_age = 8;

std::size_t room_of(const JournalOptions& options)
{
    return std::min(options.frame_bytes, max_frame_bytes) - header_room;
}

}  // namespace

JournalThread::JournalThread(JournalOptions options, JournalDisk disk, Result<MadeCounter> counter,
                             std::uint64_t next_seq)
    : options_(std::move(options)), disk_(std::move(disk)), instance_(disk_->instance())
{
    if (counter)
        counter_ = std::move(*counter);
    else
        uncounted_ = counter.error().what;
    const auto made = counter_ ? counter_->found().value_or(0) : 0;
    if (made > next_seq) lose(JournalLoss::killed, made - next_seq);
    stats_.next_seq = stats_.settled_seq = std::max(made, next_seq);
    recorded_seq_ = next_seq;
    if (counter_) counter_->store(stats_.next_seq);
    disk_->describe(stats_);
}

Result<void> JournalThread::start(const std::shared_ptr<JournalThread>& shared)
{
    // Signals are for the threads that wait for them. SIGXFSZ too: a write over a limit fails with EFBIG.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    Result<void> result;
    try {
        shared->thread_ = std::thread([shared] { shared->run(); });
    } catch (const std::system_error& error) {
        result = Error{ExitCode::failed, std::string("cannot start the journal's thread: ") + error.what(), ""};
    }
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return result;
}

void JournalThread::lose(JournalLoss reason, std::uint64_t records)
{
    stats_.lost[static_cast<std::size_t>(reason)] += records;
}

void JournalThread::seal(std::uint64_t next_seq)
{
    if (open_.records == 0) return;
    open_.segment = segment_;
    open_.next_seq = next_seq;
    open_.now_ns = now_ns_;
    segment_bytes_ += frame_bound(open_.text.size());
    ++stats_.queued_frames;
    queue_.push_back(std::exchange(open_, {}));
    work_.notify_one();
}

// A record is numbered, written or not. False: it is lost.
bool JournalThread::number(std::string_view line)
{
    const auto seq = stats_.next_seq++;
    const auto most = line.size() + numbering_bytes;
    if (most <= room_of(options_) && open_.text.size() + most > room_of(options_)) seal(seq);
    const auto before = open_.text.size();
    if (most > room_of(options_) || !append_numbered(line, seq, instance_, open_.text)) {
        lose(JournalLoss::too_long, 1);
        return false;
    }
    if (open_.records++ == 0) {
        open_.first_seq = seq;
        open_since_ns_ = now_ns_;
    }
    open_.last_seq = seq;
    stats_.queued_bytes += open_.text.size() - before;
    return true;
}

std::uint64_t JournalThread::append(std::string_view lines)
{
    bool forget = false;
    std::uint64_t last = 0;
    {
        const std::lock_guard lock(mutex_);
        std::uint64_t records = 0;
        for_each_line(lines, [&](std::string_view) { ++records; });
        // Lines that come together are lost together: one may name a stack that is in another.
        if (closing_ || stats_.queued_bytes + lines.size() + records * numbering_bytes > options_.queue_bytes) {
            lose(JournalLoss::queue_full, records);
            stats_.next_seq += records;
            forget = true;
        } else {
            for_each_line(lines, [&](std::string_view line) { forget = !number(line) || forget; });
        }
        last = stats_.next_seq - 1;
        if (counter_) counter_->store(stats_.next_seq);
        forget = begin_segment_if_due() || forget;
    }
    if (forget) options_.on_segment();
    return last;
}

bool JournalThread::begin_segment_if_due()
{
    const auto next_frame = frame_bound(std::min(options_.frame_bytes, max_frame_bytes));
    const bool is_full = segment_bytes_ > 0 && segment_bytes_ + next_frame > options_.segment_bytes;
    const bool is_old = segment_bytes_ > 0 && now_ns_ - segment_since_ns_ > options_.max_age_ns / segments_an_age;
    if (!is_full && !is_old && !segment_failed_) return false;
    seal(stats_.next_seq);
    ++segment_;
    segment_bytes_ = 0;
    segment_since_ns_ = now_ns_;
    segment_failed_ = false;
    return true;
}

bool JournalThread::sync_is_due() const
{
    return options_.sync == JournalSync::timed && unsynced_ && now_ns_ - synced_ns_ >= options_.sync_ns;
}

void JournalThread::tick(std::uint64_t now_ns)
{
    bool forget = false;
    {
        const std::lock_guard lock(mutex_);
        if (now_ns_ == 0) open_since_ns_ = segment_since_ns_ = synced_ns_ = trimmed_ns_ = now_ns;
        now_ns_ = now_ns;
        if (now_ns - open_since_ns_ >= options_.flush_ns) seal(stats_.next_seq);
        if (now_ns - trimmed_ns_ >= trim_interval_ns) {
            trimmed_ns_ = now_ns;
            trim_is_due_ = true;
        }
        forget = begin_segment_if_due();
        if (trim_is_due_ || sync_is_due()) work_.notify_one();
    }
    if (forget) options_.on_segment();
}

void JournalThread::run()
{
    std::unique_lock lock(mutex_);
    for (;;) {
        work_.wait(lock, [this] { return !queue_.empty() || trim_is_due_ || sync_is_due() || closing_; });
        if (!queue_.empty()) {
            write_next(lock);
        } else if (sync_is_due() || (closing_ && unsynced_ && options_.sync != JournalSync::never)) {
            sync(lock);
        } else if (trim_is_due_) {
            trim_is_due_ = false;
            const auto now_ns = now_ns_;
            lock.unlock();
            disk_->trim(0, now_ns);
            lock.lock();
            disk_->describe(stats_);
        } else if (closing_) {
            break;
        }
    }
    lock.unlock();
    disk_->finish();
    lock.lock();
    ended_ = true;
    done_.notify_all();
}

void JournalThread::write_next(std::unique_lock<std::mutex>& lock)
{
    const auto chunk = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    const auto written = disk_->write(chunk);
    lock.lock();
    settle(chunk, written);
}

void JournalThread::settle(const JournalChunk& chunk, const Result<std::uint64_t>& written)
{
    stats_.queued_bytes -= chunk.text.size();
    --stats_.queued_frames;
    stats_.settled_seq = chunk.next_seq;
    disk_->describe(stats_);
    const bool is_current = chunk.segment == segment_;
    if (is_current) segment_bytes_ -= frame_bound(chunk.text.size());
    if (!written) {
        lose(JournalLoss::write_failed, chunk.records);
        stats_.last_failure = written.error().what;
        segment_failed_ = segment_failed_ || is_current;
        return;
    }
    if (is_current) segment_bytes_ += *written;
    stats_.records += chunk.records;
    stats_.raw_bytes += chunk.text.size();
    stats_.written_bytes += *written;
    ++stats_.frames;
    recorded_seq_ = chunk.last_seq + 1;
    unsynced_ = true;
    stats_.last_failure.clear();
}

void JournalThread::sync(std::unique_lock<std::mutex>& lock)
{
    const auto settled_seq = stats_.settled_seq;
    unsynced_ = false;
    synced_ns_ = now_ns_;
    lock.unlock();
    const auto synced = disk_->sync();
    lock.lock();
    if (synced) {
        ++stats_.syncs;
        stats_.synced_seq = settled_seq;
    } else {
        ++stats_.failed_syncs;
        stats_.last_failure = synced.error().what;
    }
}

Result<void> JournalThread::close(std::chrono::milliseconds limit)
{
    std::unique_lock lock(mutex_);
    if (!thread_.joinable()) return {};
    seal(stats_.next_seq);
    closing_ = true;
    work_.notify_one();
    const bool ended = done_.wait_for(lock, limit, [this] { return ended_; });
    const auto left = queue_.size();
    lock.unlock();
    if (!ended) {
        thread_.detach();
        return Error{ExitCode::failed,
                     "the journal's disk does not answer: " + std::to_string(left) + " frames were not written", ""};
    }
    thread_.join();
    disk_.reset();  // and with it the lock
    // Numbers that no file knows of are lost ones at the end, which the next process must not use again.
    if (counter_ && recorded_seq_ == stats_.next_seq) counter_->remove();
    if (stats_.last_failure.empty()) return {};
    return Error{ExitCode::failed, stats_.last_failure, ""};
}

JournalStats JournalThread::stats() const
{
    const std::lock_guard lock(mutex_);
    auto stats = stats_;
    if (stats.queued_bytes == 0) stats.settled_seq = stats.next_seq;
    return stats;
}

}  // namespace loopwatch
