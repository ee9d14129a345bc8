// SPDX-License-Identifier: Apache-2.0
#include "analysis/resume.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "analysis/function_name.hpp"

namespace loopwatch {
namespace {

constexpr std::uint64_t most_elsewhere_percent = 10;

// Is the activation that was entered with this stack pointer still on the stack? nullopt: it does not reach so far.
std::optional<bool> holds(const std::vector<Frame>& stack, std::uint64_t sp)
{
    const auto cfa = sp + sizeof(std::uint64_t);
    std::uint64_t outermost = 0;
    for (const auto& frame : stack) {
        if (frame.cfa == cfa) return true;
        outermost = std::max(outermost, frame.cfa);
    }
    return outermost > cfa ? std::optional(false) : std::nullopt;
}

bool was_its_doing(const DispatchFacts& facts)
{
    std::uint64_t seen_ns = 0, elsewhere_ns = 0;
    const auto weigh = [&](const std::vector<Frame>& stack, std::uint64_t weight_ns) {
        const auto held = holds(stack, facts.resume->sp);
        if (!held) return;
        seen_ns += weight_ns;
        if (!*held) elsewhere_ns += weight_ns;
    };
    for (const auto& block : facts.blocks_by_place) weigh(block.stack, block.total_ns);
    const auto off_ns = facts.blocked_ns + facts.runq_ns + facts.throttled_ns + facts.stopped_ns;
    const auto lasted_ns = facts.end_ns - std::min(facts.end_ns, facts.start_ns);
    const auto cpu_ns = lasted_ns - std::min(lasted_ns, off_ns);
    for (const auto& sample : facts.samples) weigh(sample.stack, cpu_ns / facts.samples.size());
    return elsewhere_ns * 100 <= seen_ns * most_elsewhere_percent;
}

}  // namespace

void attribute_to_resume(DispatchFacts& facts)
{
    if (!facts.resume) return;
    if (!was_its_doing(facts)) return facts.resume.reset();
    TaskInfo task;
    task.id = fmt::format("{:#x}", facts.resume->frame);
    task.state = "running";
    // Of what was inlined into the body's first instruction the last is the body.
    if (!facts.resume->body.empty()) task.name = plain_name(facts.resume->body.back().function);
    facts.task = std::move(task);
    facts.iteration = false;
}

}  // namespace loopwatch
