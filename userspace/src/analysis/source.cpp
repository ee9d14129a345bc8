// SPDX-License-Identifier: Apache-2.0
#include "analysis/source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "analysis/calls.hpp"
#include "analysis/frames.hpp"

namespace loopwatch {
namespace {

bool has_argument(const Source& source, std::string_view name)
{
    return std::ranges::any_of(source.args, [&](const auto& arg) { return arg.first == name; });
}

// By the function that was called, else by the system call; the function may know better what was waited for.
void name_call(Source& source, std::int64_t syscall, const std::optional<LibcEntry>& entry)
{
    const auto* row = find_syscall(syscall);
    source.call = row == nullptr ? fmt::format("syscall_{}", syscall) : std::string(row->name);
    // syscall() is any of them.
    if (!entry || (entry->call == "syscall" && row != nullptr)) return;
    source.call = entry->call;
    // A wait that a stop or a debugger interrupted goes on as restart_syscall: what it was, the stack alone tells.
    const bool restarted = row != nullptr && row->name == "restart_syscall";
    if (!entry->through && !restarted) return;
    CallFacts call;
    call.call = entry->call;
    source.kind = kind_of(call);
}

}  // namespace

void enrich(Source& source, const Source& kernel)
{
    if (source.kind == Kind::other) source.kind = kernel.kind;
    const bool waiting_inside = source.kind == Kind::dns || source.kind == Kind::process;
    const bool has_target =
        has_argument(source, "path") || has_argument(source, "peer") || has_argument(source, "target");
    for (const auto& arg : kernel.args) {
        const bool wanted = arg.first == "fd" || arg.first == "path" || arg.first == "peer" || arg.first == "target" ||
                            arg.first == "lock";
        if (wanted && !waiting_inside && !has_target && !has_argument(source, arg.first)) source.args.push_back(arg);
    }
    if (!kernel.stack.empty()) source.stack = kernel.stack;
    source.kernel_stack = kernel.kernel_stack;
    source.waker = kernel.waker;
    source.woken_by = kernel.woken_by;
}

Source source_of(const BlockFacts& block)
{
    Source source;
    source.kind = kind_of(block);
    source.duration_ns = block.total_ns;
    source.longest_ns = block.longest_ns;
    source.count = block.count;
    source.stack = block.stack;
    source.kernel_stack = block.kernel_stack;
    source.waker = block.waker;
    source.woken_by = block.woken_by;
    const auto entry = libc_entry(block.stack);
    if (!entry || !entry->through) source.args = args_of(block);
    if (block.syscall >= 0) name_call(source, block.syscall, entry);
    return source;
}

Source source_of(const CallFacts& call)
{
    Source source;
    source.call = call.call;
    source.kind = kind_of(call);
    source.args = args_of(call);
    const auto lasted_ns = call.end_ns > call.start_ns ? call.end_ns - call.start_ns : 0;
    source.duration_ns = lasted_ns + call.more_ns;
    source.longest_ns = std::max(lasted_ns, call.more_longest_ns);
    source.count = 1 + call.more;
    source.stack = call.stack;
    return source;
}

std::optional<HeaviestPath> heaviest_path(std::span<const SampleFacts> samples)
{
    // First by the code that burns, then by the way to it: leaves differ from sample to sample, the culprit does not.
    struct Way {
        std::uint64_t weight_ns = 0;
        const SampleFacts* first = nullptr;
    };
    struct Culprit {
        std::uint64_t weight_ns = 0;
        std::map<std::string, Way> ways;
    };
    std::map<std::string, Culprit> culprits;
    std::uint64_t whole_ns = 0;
    for (const auto& sample : samples) {
        whole_ns += sample.weight_ns;
        if (sample.stack.empty()) continue;
        const auto* frame = culprit_frame(sample.stack);
        std::string path;
        for (const auto& step : sample.stack) path += frame_identity(step) + '|';
        auto& culprit = culprits[frame_identity(frame ? *frame : sample.stack.front())];
        auto& way = culprit.ways[path];
        culprit.weight_ns += sample.weight_ns;
        way.weight_ns += sample.weight_ns;
        if (!way.first) way.first = &sample;
    }
    if (culprits.empty()) return std::nullopt;
    const auto heaviest = [](const auto& all) -> const auto&
    {
        return std::ranges::max_element(all, {}, [](const auto& entry) { return entry.second.weight_ns; })->second;
    };
    const Culprit& culprit = heaviest(culprits);
    const auto share =
        static_cast<double>(culprit.weight_ns) / static_cast<double>(std::max<std::uint64_t>(whole_ns, 1));
    return HeaviestPath{heaviest(culprit.ways).first->stack, static_cast<std::uint64_t>(share * 100)};
}

}  // namespace loopwatch
