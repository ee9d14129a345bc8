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
constexpr std::size_t most_fingerprints = 10'000;
constexpr std::size_t most_stalled = 64;

template <class Finding>
auto key_of(const Finding& finding)
{
    return std::tuple(finding.subject.pid, finding.loop.id, finding.dispatch_seq);
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
    tell(text_of(start, context_));
}
void TextEncoder::add(const TargetEnd& end)
{
    tell(text_of(end, context_));
    // What the process has become numbers its loops and dispatches anew.
    const auto of_image = [&](const DispatchKey& key) { return std::get<0>(key) == end.subject.pid; };
    std::erase_if(stalled_, [&](const auto& stalled) { return of_image(stalled.first); });
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
    if (findings.slow)
        fold(*findings.slow, findings.slow->duration_ns);
    else
        for (const auto& call : findings.blocking) fold(call, call.source.duration_ns);
    if (findings.stall) add(*findings.stall);
}

// The first of a kind in full, all others in a line: when it ends, the slow callback has the rest.
void TextEncoder::add(const Stall& stall)
{
    const auto number = number_of(key_of(stall));
    if (std::ranges::find(stalled_, number, &std::pair<DispatchKey, std::uint64_t>::second) == stalled_.end())
        stalled_.emplace_back(key_of(stall), number);
    if (stalled_.size() > most_stalled) stalled_.pop_front();
    const auto known = folds_.find(stall.fingerprint);
    if (known != folds_.end() && !stall.fingerprint.empty()) {
        lines_ += headline_of(stall, {number, known->second.number}, context_);
        return;
    }
    if (folds_.size() >= most_fingerprints) forget_folds();
    folds_[stall.fingerprint] = {number, 0, 0, stall.duration_ns};
    lines_ += text_of(stall, {number, number}, context_);
}

std::uint64_t TextEncoder::number_of(const DispatchKey& dispatch)
{
    const auto known = std::ranges::find(stalled_, dispatch, &std::pair<DispatchKey, std::uint64_t>::first);
    return known == stalled_.end() ? ++findings_ : known->second;
}

void TextEncoder::add(const SessionEnd& end)
{
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
    const auto known = folds_.find(finding.fingerprint);
    if (known == folds_.end()) {
        if (folds_.size() >= most_fingerprints) forget_folds();
        const auto own = number();
        // Nothing is known to be like a finding without a fingerprint.
        if (!finding.fingerprint.empty()) folds_[finding.fingerprint] = {own, 0, 0, duration_ns};
        lines_ += text_of(finding, {own, own}, context_);
        return;
    }
    Fold& fold = known->second;
    // One that lasted twice as long as any before has a story of its own.
    if (duration_ns >= 2 * fold.shown_ns) {
        fold.shown_ns = duration_ns;
        lines_ += text_of(finding, {number(), fold.number}, context_);
        return;
    }
    if (fold.repeats++ == 0) repeated_.push_back(finding.fingerprint);
    fold.longest_ns = std::max(fold.longest_ns, duration_ns);
}

void TextEncoder::tell(const std::string& lines)
{
    if (!quiet_) lines_ += lines;
}

void TextEncoder::show_repeats()
{
    repeats_shown_ns_ = now_ns_;
    for (const std::string& fingerprint : repeated_) {
        Fold& fold = folds_[fingerprint];
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

std::unique_ptr<Encoder> make_text(const EncoderOptions& options)
{
    return std::make_unique<TextEncoder>(
        TextOptions{.colours = options.colours, .quiet = options.quiet, .gated = options.gated});
}

}  // namespace loopwatch
