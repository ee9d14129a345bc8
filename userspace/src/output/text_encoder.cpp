// SPDX-License-Identifier: Apache-2.0
#include "output/text_encoder.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "output/formats.hpp"
#include "output/record_json.hpp"
#include "util/duration.hpp"

namespace loopwatch {
namespace {

// Repeats are counted in a line at most so often.
constexpr std::uint64_t period_ns = 1'000'000'000;
constexpr std::size_t most_folds = 10'000;
constexpr std::size_t most_stalled = 64;

template <class Finding>
auto key_of(const Finding& finding)
{
    return std::tuple(finding.subject.pid, finding.loop.id, finding.dispatch_seq);
}

// Whose number a repeat refers to: one program may run in many processes.
template <class Finding>
auto kind_of(const Finding& finding)
{
    return std::pair(finding.subject.pid, finding.fingerprint);
}

}  // namespace

void TextEncoder::encode(const Report& report, std::string& lines)
{
    // Reports of several loops come slightly out of order.
    now_ns_ = std::max(now_ns_, time_of(report));
    std::visit([this](const auto& r) { add(r); }, report);
    if (now_ns_ >= repeats_shown_ns_ + period_ns) show_repeats();
    lines += std::exchange(lines_, {});
}

void TextEncoder::add(const SessionStart& start)
{
    tell(text_of(start, context_));
}
void TextEncoder::add(const TargetStart& start)
{
    const auto first = first_pid_ == 0 ? (first_pid_ = start.subject.pid) : first_pid_;
    context_.several |= start.subject.pid != first;
    context_.processes[start.subject.pid] = start.subject.comm;
    tell(text_of(start, context_));
}
void TextEncoder::add(const TargetEnd& end)
{
    tell(text_of(end, context_));
    // What the process has become numbers its loops and dispatches anew.
    const auto of_image = [&](const DispatchKey& key) { return std::get<0>(key) == end.subject.pid; };
    std::erase_if(stalled_, [&](const auto& stalled) { return of_image(stalled.key); });
    count_running([&](const DispatchKey& key) { return of_image(key); });
    forget_folds_of(end.subject.pid);
    context_.processes.erase(end.subject.pid);
    if (end.reason == "exec") loops_.end_image(end.subject.pid);
}
void TextEncoder::add(const Warning& warning)
{
    lines_ += text_of(warning, context_);
}
void TextEncoder::add(const TaskEvent& event)
{
    lines_ += text_of(event, context_);
}
void TextEncoder::add(const LoopStats& stats)
{
    loops_.add(stats);
}

void TextEncoder::add(const Findings& findings)
{
    if (findings.slow) {
        running_.erase(key_of(*findings.slow));
        fold(*findings.slow, findings.slow->duration_ns);
    } else {
        for (const auto& call : findings.blocking) fold(call, call.source.duration_ns);
    }
    if (findings.stall) add(*findings.stall);
}

// The first of a kind in full, and in a line each time that it is reported again. Another one of this kind is counted
// once it ends, unless it lasts twice as long as any that was shown.
void TextEncoder::add(const Stall& stall)
{
    const DispatchKey key = key_of(stall);
    const auto known = folds_.find(kind_of(stall));
    const bool is_known = known != folds_.end() && !stall.fingerprint.empty();
    const bool has_number = stalled(key) != nullptr;
    if (is_known && !has_number && stall.duration_ns < 2 * known->second.shown_ns) {
        if (running_.size() < most_stalled || running_.contains(key))
            running_[key] = {kind_of(stall), stall.duration_ns};
        return;
    }
    running_.erase(key);
    const auto number = number_of(key);
    if (!has_number) stalled_.push_back({key, number, is_known ? std::vector<Frame>() : stall.stack});
    if (stalled_.size() > most_stalled) stalled_.pop_front();
    if (is_known) {
        lines_ += headline_of(stall, {number, known->second.number}, context_);
        return;
    }
    if (folds_.size() >= most_folds) forget_folds();
    folds_[kind_of(stall)] = {number, 0, 0, stall.duration_ns};
    lines_ += text_of(stall, {number, number}, context_);
}

// Those that will not end any more.
void TextEncoder::count_running(const std::function<bool(const DispatchKey&)>& of)
{
    for (const auto& [key, stall] : running_)
        if (const auto fold = folds_.find(stall.first); fold != folds_.end() && of(key))
            count_repeat(fold->first, fold->second, stall.second);
    std::erase_if(running_, [&](const auto& stall) { return of(stall.first); });
}

void TextEncoder::count_repeat(const FoldKey& key, Fold& fold, std::uint64_t duration_ns)
{
    if (fold.repeats++ == 0) repeated_.push_back(key);
    fold.longest_ns = std::max(fold.longest_ns, duration_ns);
}

const TextEncoder::Stalled* TextEncoder::stalled(const DispatchKey& dispatch) const
{
    const auto known = std::ranges::find(stalled_, dispatch, &Stalled::key);
    return known == stalled_.end() ? nullptr : &*known;
}

std::uint64_t TextEncoder::number_of(const DispatchKey& dispatch)
{
    const auto* known = stalled(dispatch);
    return known ? known->number : ++findings_;
}

std::string TextEncoder::full_text(const SlowCallback& slow, Number number) const
{
    const auto* known = stalled(key_of(slow));
    return text_of(slow, number, context_, known ? std::span(known->stack) : std::span<const Frame>());
}

void TextEncoder::add(const SessionEnd& end)
{
    count_running([](const DispatchKey&) { return true; });
    show_repeats();
    if (quiet_ && gated_ && end.completeness != "complete") lines_ += completeness_lines(end);
    tell(text_of(end, loops_, context_));
}

template <class Finding>
void TextEncoder::fold(const Finding& finding, std::uint64_t duration_ns)
{
    const auto number = [&] {
        return std::is_same_v<Finding, BlockingCall> ? ++findings_ : number_of(key_of(finding));
    };
    const auto known = folds_.find(kind_of(finding));
    if (known == folds_.end()) {
        if (folds_.size() >= most_folds) forget_folds();
        const auto own = number();
        // Nothing is known to be like a finding without a fingerprint.
        if (!finding.fingerprint.empty()) folds_[kind_of(finding)] = {own, 0, 0, duration_ns};
        lines_ += full_text(finding, {own, own});
        return;
    }
    Fold& fold = known->second;
    // One that lasted twice as long as any before has a story of its own.
    if (duration_ns >= 2 * fold.shown_ns) {
        fold.shown_ns = duration_ns;
        lines_ += full_text(finding, {number(), fold.number});
        return;
    }
    count_repeat(known->first, fold, duration_ns);
}

void TextEncoder::tell(const std::string& lines)
{
    if (!quiet_) lines_ += lines;
}

void TextEncoder::show_repeats()
{
    repeats_shown_ns_ = now_ns_;
    for (const FoldKey& key : repeated_) {
        Fold& fold = folds_[key];
        lines_ +=
            fmt::format("×{} more like #{}, longest {}\n", fold.repeats, fold.number, format_duration(fold.longest_ns));
        fold.repeats = 0;
        fold.longest_ns = 0;
    }
    repeated_.clear();
}

void TextEncoder::forget_folds()
{
    show_repeats();
    folds_.clear();
}

// The kernel gives its number again.
void TextEncoder::forget_folds_of(std::uint32_t pid)
{
    const auto is_its = [pid](const FoldKey& key) { return key.first == pid; };
    if (std::ranges::any_of(repeated_, is_its)) show_repeats();
    std::erase_if(folds_, [&](const auto& fold) { return is_its(fold.first); });
}

std::unique_ptr<Encoder> make_text(const EncoderOptions& options)
{
    return std::make_unique<TextEncoder>(
        TextOptions{.colours = options.colours, .quiet = options.quiet, .gated = options.gated});
}

}  // namespace loopwatch
