// SPDX-License-Identifier: Apache-2.0
//
// golden_records session|interned|hostile|schema|strict: the sample records as NDJSON, and the schemas, for a validator
// that knows nothing of our code.
#include <cstdio>
#include <string>
#include <string_view>

#include "output/record_fields.hpp"
#include "output/record_json.hpp"
#include "output/schema.hpp"
#include "sample_records.hpp"

int main(int argc, char** argv)
{
    using namespace loopwatch;
    const std::string_view what = argc == 2 ? argv[1] : "";
    if (what == "schema" || what == "strict") {
        std::puts(output_schema(what == "strict").c_str());
    } else if (what == "session" || what == "interned" || what == "hostile") {
        std::string lines;
        StackInterning stacks;
        // As a journal has them: a segment's own record, and numbered ones.
        const std::string instance = "0b5ff2a5-6ed5-4b2c-8a36-0d1c4a1d6c11";
        if (what == "interned") {
            lines = R"({"seq":7,"instance":")" + instance + R"(",)";
            append_lines(samples::session().front(), samples::context(), lines);
            lines.erase(lines.find(R"(,{)") + 1, 1);
            lines += segment_line({1, 2, instance, instance, 7, "0.1.0"}, samples::context());
        }
        for (const auto& report : what == "hostile" ? samples::hostile() : samples::session())
            append_lines(report, samples::context(), lines, what == "interned" ? &stacks : nullptr);
        std::fputs(lines.c_str(), stdout);
    } else {
        std::fputs("usage: golden_records session|interned|hostile|schema|strict\n", stderr);
        return 2;
    }
    return 0;
}
