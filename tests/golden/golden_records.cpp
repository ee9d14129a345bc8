// SPDX-License-Identifier: Apache-2.0
//
// golden_records session|interned|hostile|schema|strict: the sample records as NDJSON, and the schemas, for a validator
// that knows nothing of our code.
#include <cstdio>
#include <string_view>

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
        for (const auto& report : what == "hostile" ? samples::hostile() : samples::session())
            append_lines(report, samples::context(), lines, what == "interned" ? &stacks : nullptr);
        std::fputs(lines.c_str(), stdout);
    } else {
        std::fputs("usage: golden_records session|interned|hostile|schema|strict\n", stderr);
        return 2;
    }
    return 0;
}
