// SPDX-License-Identifier: Apache-2.0
//
// JournalSink: reports into the journal. The journal counts what it loses; nothing here waits for the disk.
#pragma once

#include <string>
#include <utility>

#include "daemon/labelled_encoder.hpp"
#include "output/sink.hpp"
#include "report/journal_writer.hpp"

namespace loopwatch {

class JournalSink final : public Sink {
public:
    // Both outlive it. The journal's on_segment is to call `encoder`'s forget_stacks().
    JournalSink(JournalWriter& journal, LabelledEncoder& encoder) : journal_(journal), encoder_(encoder) {}

    Result<void> take(const Report& report) override;
    Result<void> flush() override;
    Result<void> close(bool wait_for_reader) override;

private:
    JournalWriter& journal_;
    LabelledEncoder& encoder_;
    std::string lines_;
};

}  // namespace loopwatch
