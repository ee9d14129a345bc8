// SPDX-License-Identifier: Apache-2.0
//
// One JSON object a line, schema loopwatch/1.
#pragma once

#include "output/output.hpp"
#include "output/record_json.hpp"
#include "output/sink.hpp"

namespace loopwatch {

class NdjsonSink : public Sink {
public:
    // `output` must outlive the sink.
    NdjsonSink(Output& output, JsonContext context) : output_(output), context_(std::move(context)) {}

    Result<void> write(const Record& record) override
    {
        return output_.write_lines(to_line(to_json(record, context_)) + "\n");
    }

private:
    Output& output_;
    JsonContext context_;
};

}  // namespace loopwatch
