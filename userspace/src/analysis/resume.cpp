// SPDX-License-Identifier: Apache-2.0
#include "analysis/resume.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "analysis/frames.hpp"
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
    std::uint64_t sampled_ns = 0;
    for (const auto& sample : facts.samples) sampled_ns += sample.weight_ns;
    const auto off_ns = facts.blocked_ns + facts.runq_ns + facts.throttled_ns + facts.stopped_ns;
    const auto lasted_ns = facts.end_ns - std::min(facts.end_ns, facts.start_ns);
    const auto cpu_ns = lasted_ns - std::min(lasted_ns, off_ns);
    for (const auto& sample : facts.samples)
        weigh(sample.stack,
              static_cast<std::uint64_t>(static_cast<double>(cpu_ns) * static_cast<double>(sample.weight_ns) /
                                         static_cast<double>(std::max<std::uint64_t>(sampled_ns, 1))));
    return elsewhere_ns * 100 <= seen_ns * most_elsewhere_percent;
}

// The code that Asio's frame of an awaitable resumed; null: this stack has none.
const Frame* resumed_by_asio(const std::vector<Frame>& stack)
{
    const auto resumes = [](const Frame& frame) {
        return frame.function.find("::awaitable_frame_base<") != std::string::npos &&
               frame.function.ends_with("::resume()");
    };
    const auto resume = std::ranges::find_if(stack, resumes);
    if (resume == stack.end()) return nullptr;
    const auto body = std::find_if(std::make_reverse_iterator(resume), stack.rend(), [](const Frame& frame) {
        return !frame.inlined && !frame.function.empty() && owner_of(frame) == FrameOwner::user;
    });
    return body == stack.rend() ? nullptr : &*body;
}

}  // namespace

void name_awaiting_coroutine(DispatchFacts& facts)
{
    if (!facts.task || facts.iteration) return;
    const Frame* body = nullptr;
    for (const auto& block : facts.blocks_by_place)
        if (!body) body = resumed_by_asio(block.stack);
    for (const auto& sample : facts.samples)
        if (!body) body = resumed_by_asio(sample.stack);
    for (const auto& call : facts.calls)
        if (!body) body = resumed_by_asio(call.stack);
    if (body) facts.task->name = plain_name(body->function) + "/" + facts.task->name;
}

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
