// SPDX-License-Identifier: Apache-2.0
//
// Where records go. One sink a file; several may stand side by side. A sink formats, an Output (output.hpp) writes
// bytes: not one record at a time, as --trace brings them by the hundred thousand, but at the latest when flush() is
// called, which the session does after each round.
#pragma once

#include <string>
#include <utility>

#include "analysis/finding.hpp"
#include "output/output.hpp"
#include "util/result.hpp"

namespace loopwatch {

class Sink {
public:
    // `output` must outlive the sink.
    explicit Sink(Output& output) : output_(output) {}
    virtual ~Sink() = default;
    // What it writes is read by somebody as it comes.
    virtual bool for_people() const { return false; }
    // Fail when records could not be written (disk full, reader gone); the session then ends with exit code 1.
    Result<void> write(const Record& record)
    {
        add(record);
        return pending_.size() < most_pending ? Result<void>() : flush();
    }
    Result<void> flush()
    {
        if (pending_.empty()) return {};
        const std::string lines = std::exchange(pending_, {});
        return output_.write_lines(lines);
    }

protected:
    // Appends what is to be said of the record to pending_: whole lines.
    virtual void add(const Record& record) = 0;

    static constexpr std::size_t most_pending = 64 << 10;
    std::string pending_;

private:
    Output& output_;
};

}  // namespace loopwatch
