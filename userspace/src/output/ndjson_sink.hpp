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
    NdjsonSink(Output& output, JsonContext context) : Sink(output), context_(std::move(context)) {}

protected:
    void add(const Record& record) override
    {
        pending_ += to_line(record, context_);
        pending_ += '\n';
    }

private:
    JsonContext context_;
};

}  // namespace loopwatch
