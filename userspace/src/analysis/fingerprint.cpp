// SPDX-License-Identifier: Apache-2.0
#include "analysis/fingerprint.hpp"

#include <fmt/format.h>

#include <span>

#include "analysis/calls.hpp"
#include "analysis/frames.hpp"
#include "analysis/function_name.hpp"
#include "analysis/kind.hpp"
#include "util/fnv.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t own_functions = 5;

class FingerprintHash {
public:
    FingerprintHash& operator<<(std::string_view field)
    {
        state_ = fnv1a(field, state_);
        state_ = fnv1a({"", 1}, state_);  // "ab","c" is not "a","bc"
        return *this;
    }
    std::string hex() const { return fmt::format("{:016x}", state_); }

private:
    std::uint64_t state_ = fnv1a_begin;
};

FingerprintHash begin(std::string_view type, const Source& source)
{
    FingerprintHash hash;
    const auto* row = find_call(source.call);  // the shim may say open64 where the stack says open
    // What a descriptor leads to is the host's: a log is a file here, a pipe there.
    const bool open_kind = row != nullptr && row->rule == CallRule::descriptor;
    hash << type << (open_kind ? std::string_view() : kind_name(source.kind))
         << (row == nullptr ? std::string_view(source.call) : row->name);
    return hash;
}

std::vector<std::string> own_names(const Source& source)
{
    std::vector<std::string> names;
    const auto frames = source.shared.empty() ? user_part(source.stack).frames : std::span(source.shared);
    for (const auto& frame : frames) {
        if (names.size() == own_functions) break;
        if (!is_named_own(frame)) continue;
        auto name = plain_name(frame.function);
        if (names.empty() || name != names.back()) names.push_back(std::move(name));  // a recursion's depth is chance
    }
    return names;
}

// For own functions, where the stack has none.
std::string standing_in(const Source& source, const std::optional<TaskInfo>& task)
{
    if (!task) {
        const auto* culprit = culprit_frame(source.stack);
        return culprit ? plain_name(culprit->function) : std::string();
    }
    const auto& location = task->resumed_at.function.empty() ? task->created_at : task->resumed_at;
    return plain_name(location.function);
}

}  // namespace

std::string fingerprint(std::string_view type, const Source& source, const std::optional<TaskInfo>& task)
{
    auto hash = begin(type, source);
    const auto functions = own_names(source);
    for (const auto& name : functions) hash << name;
    if (functions.empty()) hash << standing_in(source, task);
    return hash.hex();
}

bool has_place(const Source& source, const std::optional<TaskInfo>& task)
{
    return !own_names(source).empty() || !standing_in(source, task).empty();
}

std::string fingerprint_exact(std::string_view type, const Source& source, const std::optional<TaskInfo>& task)
{
    auto hash = begin(type, source);
    // Where in a function it was interrupted is chance.
    for (const auto& frame : source.shared)
        hash << (frame.build_id.empty() ? frame.module : frame.build_id) << plain_name(frame.function);
    for (const auto& frame : source.shared.empty() ? std::span(source.stack) : std::span<const Frame>())
        hash << (frame.build_id.empty() ? frame.module : frame.build_id) << fmt::format("{:x}", frame.offset);
    if (source.stack.empty()) hash << standing_in(source, task);
    return hash.hex();
}

}  // namespace loopwatch
