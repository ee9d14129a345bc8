// SPDX-License-Identifier: Apache-2.0
//
// One JSON object a line, schema loopwatch/1.
#include <utility>

#include "output/formats.hpp"
#include "output/record_json.hpp"

namespace loopwatch {

namespace {

class NdjsonEncoder final : public Encoder {
public:
    explicit NdjsonEncoder(JsonContext context) : context_(std::move(context)) {}
    void encode(const Report& report, std::string& lines) override { append_lines(report, context_, lines); }

private:
    JsonContext context_;
};

}  // namespace

std::unique_ptr<Encoder> make_ndjson(const EncoderOptions&)
{
    return std::make_unique<NdjsonEncoder>(JsonContext::of_this_machine());
}

}  // namespace loopwatch
