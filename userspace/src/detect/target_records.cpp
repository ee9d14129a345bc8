// SPDX-License-Identifier: Apache-2.0
#include "detect/target_records.hpp"

#include <algorithm>
#include <string>

#include "util/wall_clock.hpp"

namespace loopwatch {

TargetStart target_start(Target& target)
{
    TargetStart start;
    start.subject = target.whole();
    start.at_ns = monotonic_ns();
    start.exe = target.exe();
    start.cmdline = target.cmdline();
    start.build_id = target.build_id();
    start.tiers = target.tiers();
    for (const auto& loop : target.known_loops()) start.loops.push_back({std::to_string(loop.id), loop.name});
    start.warnings = target.warnings();
    for (const auto& warning : start.warnings) {
        start.name_warnings += target.about(warning) == WarningAbout::names;
        start.cost_warnings += target.about(warning) == WarningAbout::cost;
    }
    (void)target.take_new_warnings();
    return start;
}

std::uint64_t floor_of(const Target& target)
{
    std::uint64_t floor = 0;
    for (const auto& loop : target.known_loops()) {
        LoopState slot;
        if (target.read(loop, slot)) floor = std::max<std::uint64_t>(floor, slot.floor_ns);
    }
    return floor;
}

}  // namespace loopwatch
