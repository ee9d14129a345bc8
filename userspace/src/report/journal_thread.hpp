// SPDX-License-Identifier: Apache-2.0
//
// JournalThread: what is between the thread that appends and the one that writes. Both share the queue and the counts,
// under one mutex that is never held while the disk is waited for.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "report/journal_disk.hpp"
#include "report/journal_stats.hpp"
#include "report/journal_writer.hpp"
#include "report/made_counter.hpp"
#include "util/result.hpp"

namespace loopwatch {

class JournalThread {
public:
    JournalThread(JournalOptions options, JournalDisk disk, Result<MadeCounter> counter, std::uint64_t next_seq);

    // The thread shares what it works on: one that hangs in a write is left behind.
    static Result<void> start(const std::shared_ptr<JournalThread>& shared);
    std::uint64_t append(std::string_view lines);
    void tick(std::uint64_t now_ns);
    Result<void> close(std::chrono::milliseconds limit);
    JournalStats stats() const;
    const std::string& instance() const noexcept { return instance_; }
    const std::string& uncounted_reason() const noexcept { return uncounted_; }

private:
    // All of these with mutex_ held.
    bool number(std::string_view line);
    void lose(JournalLoss reason, std::uint64_t records);
    void seal(std::uint64_t next_seq);
    bool begin_segment_if_due();
    bool sync_is_due() const;
    void settle(const JournalChunk& chunk, const Result<std::uint64_t>& written);
    void settle_sync(const Result<void>& synced, std::uint64_t settled_seq);
    // On the journal's thread.
    void run();
    void write_next(std::unique_lock<std::mutex>& lock);
    void sync(std::unique_lock<std::mutex>& lock);

    const JournalOptions options_;
    std::optional<JournalDisk> disk_;  // of the journal's thread, once it runs; none: it has ended
    std::optional<MadeCounter> counter_;
    std::string instance_, uncounted_;
    std::thread thread_;

    mutable std::mutex mutex_;
    std::condition_variable work_, done_;
    std::deque<JournalChunk> queue_;
    JournalChunk open_;                // not in the queue yet
    std::uint64_t open_since_ns_ = 0;  // of its first line
    std::uint64_t now_ns_ = 0;
    std::uint64_t segment_ = 1;  // of what is appended
    std::uint64_t segment_since_ns_ = 0;
    std::uint64_t segment_bytes_ = 0;  // of it: frames as they are, and as large as those in the queue may become
    std::uint64_t synced_ns_ = 0, trimmed_ns_ = 0;
    std::uint64_t recorded_seq_ = 0;  // after the last record that was written: what a file knows
    bool trim_is_due_ = false, unsynced_ = false, segment_failed_ = false, closing_ = false, ended_ = false;
    JournalStats stats_;
};

}  // namespace loopwatch
