// SPDX-License-Identifier: Apache-2.0
#include "daemon/journal_sink.hpp"

#include "util/wall_clock.hpp"

namespace loopwatch {

Result<void> JournalSink::take(const Report& report)
{
    // Before it is encoded: a new segment has none of the stacks that were written.
    journal_.tick(monotonic_ns());
    lines_.clear();
    encoder_.encode(report, lines_);
    if (!lines_.empty()) (void)journal_.append(lines_);
    return {};
}

Result<void> JournalSink::flush()
{
    journal_.tick(monotonic_ns());
    return {};
}

Result<void> JournalSink::close(bool)
{
    return journal_.close();
}

}  // namespace loopwatch
