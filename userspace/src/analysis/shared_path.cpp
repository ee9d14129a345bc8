// SPDX-License-Identifier: Apache-2.0
#include "analysis/shared_path.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "analysis/frames.hpp"
#include "analysis/function_name.hpp"

namespace loopwatch {
namespace {

struct Step {
    std::string name;
    const Frame* frame = nullptr;
};

struct Way {
    std::vector<Step> steps;  // outermost first
    std::uint64_t weight_ns = 0;
};

// Debug info names the function that a lambda is written in without its namespace.
bool is_written_in(std::string_view name, std::string_view function)
{
    const auto lambda = name.find("::{lambda}");
    if (lambda == name.npos || !function.ends_with(name.substr(0, lambda))) return false;
    return function.size() == lambda || function.substr(0, function.size() - lambda).ends_with("::");
}

Way way_of(const SampleFacts& sample)
{
    Way way;
    way.weight_ns = sample.weight_ns;
    const auto frames = user_part(sample.stack).frames;
    for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) {
        if (!is_named_own(*frame)) continue;
        auto name = plain_name(frame->function);
        const auto known = [&](const Step& step) { return step.name == name || is_written_in(name, step.name); };
        if (std::ranges::none_of(way.steps, known)) way.steps.push_back({std::move(name), &*frame});
    }
    return way;
}

}  // namespace

std::vector<Frame> shared_path(std::span<const SampleFacts> samples)
{
    std::vector<Way> ways;
    std::uint64_t whole_ns = 0;
    for (const auto& sample : samples) {
        if (sample.stack.empty()) continue;
        whole_ns += sample.weight_ns;
        ways.push_back(way_of(sample));
    }
    std::vector<Frame> shared;
    while (true) {
        const auto depth = shared.size();
        std::map<std::string, std::uint64_t> weights;
        for (const auto& way : ways)
            if (way.steps.size() > depth) weights[way.steps[depth].name] += way.weight_ns;
        const auto by_weight = [](const auto& entry) { return entry.second; };
        const auto most = std::ranges::max_element(weights, {}, by_weight);
        if (most == weights.end() || most->second < whole_ns - whole_ns / 3) break;
        std::erase_if(
            ways, [&](const Way& way) { return way.steps.size() <= depth || way.steps[depth].name != most->first; });
        shared.push_back(*ways.front().steps[depth].frame);
    }
    std::ranges::reverse(shared);
    return shared;
}

}  // namespace loopwatch
