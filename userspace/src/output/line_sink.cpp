// SPDX-License-Identifier: Apache-2.0
#include "output/line_sink.hpp"

#include "output/record_json.hpp"

namespace loopwatch {

namespace {

// Without it a reader cannot know what is missing.
bool must_arrive(const Report& report)
{
    return std::holds_alternative<SessionEnd>(report);
}

}  // namespace

Result<void> LineSink::take(const Report& report)
{
    if (queued().size() >= most_queued && !must_arrive(report)) {
        lost_ += records_in(report);
        return {};
    }
    encoder_->encode(report, lines_);
    return queued().size() < most_at_once ? Result<void>() : flush();
}

Result<void> LineSink::flush()
{
    if (queued().empty()) return {};
    auto written = output_.write_some(queued());
    if (!written) return written.error();
    written_ += *written;
    if (queued().empty()) {
        lines_.clear();
        written_ = 0;
    } else if (written_ >= most_queued) {  // what is left is moved once in so many bytes
        lines_.erase(0, std::exchange(written_, 0));
    }
    return {};
}

Result<void> LineSink::close(bool wait_for_reader)
{
    auto written = output_.write_lines(queued(), wait_for_reader ? Patience::unlimited : Patience::brief);
    if (!written) return written;
    lines_.clear();
    written_ = 0;
    return output_.settle();
}

}  // namespace loopwatch
