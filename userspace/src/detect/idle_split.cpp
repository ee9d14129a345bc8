// SPDX-License-Identifier: Apache-2.0
#include "detect/idle_split.hpp"

#include <algorithm>
#include <utility>

namespace loopwatch {

namespace {

using IsIdle = std::function<bool(std::uint64_t)>;

DispatchBundle part_of(const DispatchBundle& bundle, std::uint64_t start_ns, std::uint64_t end_ns,
                       std::uint64_t threshold_ns, const IsIdle& is_idle)
{
    DispatchBundle part = bundle;
    part.closing->start_ns = start_ns;
    part.closing->end_ns = end_ns;
    part.closing->slow = end_ns - start_ns >= threshold_ns;
    part.calls_missing |= std::exchange(part.unrecorded_ns, 0) != 0;  // in which part they were is not known
    std::erase_if(part.calls, [&](const CallEvent& call) {
        return is_idle(call.caller) || call.start_ns < start_ns || call.end_ns > end_ns;
    });
    return part;
}

}  // namespace

std::vector<DispatchBundle> split_at_idle(const DispatchBundle& bundle, const IsIdle& is_idle,
                                          std::uint64_t threshold_ns)
{
    std::vector<DispatchBundle> parts;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> waits;
    for (const auto& call : bundle.calls) {
        if (!is_idle(call.caller)) continue;
        if (call.more != 0) return {};
        waits.emplace_back(call.start_ns, call.end_ns);
    }
    if (!bundle.closing) return {};
    std::ranges::sort(waits);
    waits.emplace_back(bundle.closing->end_ns, bundle.closing->end_ns);
    auto start_ns = bundle.closing->start_ns;
    for (const auto& [from_ns, to_ns] : waits) {
        if (from_ns > start_ns) {
            auto part = part_of(bundle, start_ns, from_ns, threshold_ns, is_idle);
            // Of one that goes on, what has ended is reported when it does.
            const bool last = from_ns == bundle.closing->end_ns;
            const bool worth =
                bundle.in_progress ? last && part.closing->slow : part.closing->slow || !part.calls.empty();
            if (worth) parts.push_back(std::move(part));
        }
        start_ns = std::max(start_ns, to_ns);
    }
    return parts;
}

}  // namespace loopwatch
