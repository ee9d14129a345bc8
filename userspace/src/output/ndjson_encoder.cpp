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
    NdjsonEncoder(JsonContext context, bool interned) : context_(std::move(context)), interned_(interned) {}
    void encode(const Report& report, std::string& lines) override
    {
        append_lines(report, context_, lines, interned_ ? &stacks_ : nullptr);
    }

private:
    JsonContext context_;
    bool interned_;
    StackInterning stacks_;
};

}  // namespace

std::unique_ptr<Encoder> make_ndjson(const EncoderOptions& options)
{
    return std::make_unique<NdjsonEncoder>(JsonContext::of_this_machine(), options.interned);
}

}  // namespace loopwatch
