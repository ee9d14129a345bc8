// SPDX-License-Identifier: Apache-2.0
#include "report/journal_writer.hpp"

#include <utility>

#include "report/journal_recovery.hpp"
#include "report/journal_thread.hpp"
#include "report/state_directory.hpp"

namespace loopwatch {

namespace {

// The segment's own line, and one record.
constexpr std::size_t least_frame_bytes = 2048;

}  // namespace

Result<JournalSync> parse_journal_sync(std::string_view text)
{
    if (text == "never") return JournalSync::never;
    if (text == "segment") return JournalSync::segment;
    if (text == "5s") return JournalSync::timed;
    return Error{ExitCode::usage, "fsync: '" + std::string(text) + "' is not one of never, segment, 5s", ""};
}

Result<JournalWriter> JournalWriter::open(JournalOptions options)
{
    if (options.frame_bytes < least_frame_bytes) options.frame_bytes = least_frame_bytes;
    auto state = StateDirectory::open(options.state);
    if (!state) return std::move(state).error();
    const auto found = recover_journal(options.state);
    if (!found) return found.error();
    auto counter = MadeCounter::open(options.counter_directory, state->instance());
    JournalDisk disk(options, std::move(*state), *found);
    const auto thread =
        std::make_shared<JournalThread>(std::move(options), std::move(disk), std::move(counter), found->next_seq);
    if (auto started = JournalThread::start(thread); !started) return std::move(started).error();
    return JournalWriter(thread);
}

JournalWriter::JournalWriter(std::shared_ptr<JournalThread> thread) : thread_(std::move(thread))
{
}

JournalWriter::JournalWriter(JournalWriter&&) noexcept = default;

JournalWriter& JournalWriter::operator=(JournalWriter&& other) noexcept
{
    std::swap(thread_, other.thread_);  // the other one closes what was here
    return *this;
}

JournalWriter::~JournalWriter()
{
    if (thread_) [[maybe_unused]]
        const bool closed = thread_->close(std::chrono::seconds(5)).has_value();
}

std::uint64_t JournalWriter::append(std::string_view lines)
{
    return thread_->append(lines);
}

void JournalWriter::tick(std::uint64_t now_ns)
{
    thread_->tick(now_ns);
}

Result<void> JournalWriter::close(std::chrono::milliseconds limit)
{
    return thread_->close(limit);
}

JournalStats JournalWriter::stats() const
{
    return thread_->stats();
}

const std::string& JournalWriter::instance() const noexcept
{
    return thread_->instance();
}

const std::string& JournalWriter::uncounted_reason() const noexcept
{
    return thread_->uncounted_reason();
}

}  // namespace loopwatch
