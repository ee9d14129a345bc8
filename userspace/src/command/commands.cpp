// SPDX-License-Identifier: Apache-2.0
#include "command/command.hpp"

namespace loopwatch {

std::span<const CommandRow> commands()
{
#define X(name, help) {#name, help, make_##name},
    static constexpr CommandRow rows[] = {LW_COMMANDS(X)};
#undef X
    return rows;
}

}  // namespace loopwatch
