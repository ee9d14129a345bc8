// SPDX-License-Identifier: Apache-2.0
//
// A std::source_location is one pointer to what struct lw_location describes; the runtime publishes that pointer as it
// is.
#include <loopwatch/loop_state.h>

#include <bit>
#include <cstring>
#include <source_location>

int main()
{
    const auto here = std::source_location::current();
    static_assert(sizeof here == sizeof(const lw_location*));
    const auto* raw = std::bit_cast<const lw_location*>(here);
    const bool same = std::strcmp(raw->file, here.file_name()) == 0 &&
                      std::strcmp(raw->function, here.function_name()) == 0 && raw->line == here.line() &&
                      raw->column == here.column();
    return same && raw->line > 0 && raw->column > 0 ? 0 : 1;
}
