// SPDX-License-Identifier: Apache-2.0
#include "output/text_sink.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "output/record_json.hpp"
#include "util/duration.hpp"

namespace loopwatch {
namespace {

// Repeats are told at most so often; also how long a blocking call waits for its slow callback (both are made at the
// dispatch's end).
constexpr std::uint64_t period_ns = 1'000'000'000;
constexpr std::size_t most_fingerprints = 10'000;
constexpr std::size_t most_held = 1'024;
constexpr std::size_t most_slow = 64, most_stalled = 64;

template <class Finding>
auto key_of(const Finding& finding)
{
    return std::tuple(finding.subject.pid, finding.loop.id, finding.dispatch_seq);
}

}  // namespace

void TextSink::add(const Record& record)
{
    // Records of several loops come slightly out of order.
    now_ns_ = std::max(now_ns_, time_of(record));
    std::visit([this](const auto& r) { add(r); }, record);
    // After the record itself: it may be the slow callback that a held call belongs to.
    if (now_ns_ > period_ns) release_held(now_ns_ - period_ns);
    if (now_ns_ >= repeats_shown_ns_ + period_ns) show_repeats();
}

void TextSink::add(const SessionStart& start)
{
    tell(text_of(start, context_));
}
void TextSink::add(const TargetStart& start)
{
    tell(text_of(start, context_));
}
void TextSink::add(const TargetEnd& end)
{
    tell(text_of(end, context_));
    // What the process has become numbers its loops and dispatches anew.
    const auto of_image = [&](const DispatchKey& key) { return std::get<0>(key) == end.subject.pid; };
    std::erase_if(stalled_, [&](const auto& stalled) { return of_image(stalled.first); });
    count_running([&](const DispatchKey& key) { return of_image(key); });
    std::erase_if(slow_, of_image);
    if (end.reason == "exec") loops_.end_image(end.subject.pid);
}
void TextSink::add(const Warning& warning)
{
    pending_ += text_of(warning, context_);
}
void TextSink::add(const TaskEvent& event)
{
    pending_ += text_of(event, context_);
}
void TextSink::add(const LoopStats& stats)
{
    loops_.add(stats);
}

void TextSink::add(const SlowCallback& slow)
{
    const DispatchKey key = key_of(slow);
    std::erase_if(held_, [&](const Held& held) { return key_of(held.call) == key; });
    running_.erase(key);
    slow_.push_back(key);
    if (slow_.size() > most_slow) slow_.pop_front();
    fold(slow, slow.duration_ns);
}

// The first of a kind in full, and in a line each time that it is reported again. Another one of this kind is counted
// once it ends, unless it lasts twice as long as any that was shown.
void TextSink::add(const Stall& stall)
{
    const DispatchKey key = key_of(stall);
    const auto known = folds_.find(stall.fingerprint);
    const bool is_known = known != folds_.end() && !stall.fingerprint.empty();
    const bool has_number =
        std::ranges::find(stalled_, key, &std::pair<DispatchKey, std::uint64_t>::first) != stalled_.end();
    if (is_known && !has_number && stall.duration_ns < 2 * known->second.shown_ns) {
        if (running_.size() < most_stalled || running_.contains(key))
            running_[key] = {stall.fingerprint, stall.duration_ns};
        return;
    }
    running_.erase(key);
    const auto number = number_of(key);
    if (!has_number) stalled_.emplace_back(key, number);
    if (stalled_.size() > most_stalled) stalled_.pop_front();
    if (is_known) {
        pending_ += headline_of(stall, {number, known->second.number}, context_);
        return;
    }
    if (folds_.size() >= most_fingerprints) forget_folds();
    folds_[stall.fingerprint] = {number, 0, 0, stall.duration_ns};
    pending_ += text_of(stall, {number, number}, context_);
}

// Those that will not end any more.
void TextSink::count_running(const std::function<bool(const DispatchKey&)>& of)
{
    for (const auto& [key, stall] : running_)
        if (const auto fold = folds_.find(stall.first); fold != folds_.end() && of(key))
            count_repeat(fold->first, fold->second, stall.second);
    std::erase_if(running_, [&](const auto& stall) { return of(stall.first); });
}

void TextSink::count_repeat(const std::string& fingerprint, Fold& fold, std::uint64_t duration_ns)
{
    if (fold.repeats++ == 0) repeated_.push_back(fingerprint);
    fold.longest_ns = std::max(fold.longest_ns, duration_ns);
}

std::uint64_t TextSink::number_of(const DispatchKey& dispatch)
{
    const auto known = std::ranges::find(stalled_, dispatch, &std::pair<DispatchKey, std::uint64_t>::first);
    return known == stalled_.end() ? ++findings_ : known->second;
}

void TextSink::add(const BlockingCall& call)
{
    if (std::ranges::find(slow_, DispatchKey(key_of(call))) != slow_.end()) return;
    held_.push_back({now_ns_, call});
    if (held_.size() > most_held) release_held(held_.front().since_ns);
}

void TextSink::add(const SessionEnd& end)
{
    release_held(UINT64_MAX);
    count_running([](const DispatchKey&) { return true; });
    show_repeats();
    if (quiet_ && gated_ && end.completeness != "complete") pending_ += completeness_lines(end);
    tell(text_of(end, loops_, context_));
}

template <class Finding>
void TextSink::fold(const Finding& finding, std::uint64_t duration_ns)
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
        pending_ += text_of(finding, {own, own}, context_);
        return;
    }
    Fold& fold = known->second;
    // One that lasted twice as long as any before has a story of its own.
    if (duration_ns >= 2 * fold.shown_ns) {
        fold.shown_ns = duration_ns;
        pending_ += text_of(finding, {number(), fold.number}, context_);
        return;
    }
    count_repeat(finding.fingerprint, fold, duration_ns);
}

void TextSink::tell(const std::string& lines)
{
    if (!quiet_) pending_ += lines;
}

void TextSink::release_held(std::uint64_t until_ns)
{
    while (!held_.empty() && held_.front().since_ns <= until_ns) {
        const BlockingCall call = std::move(held_.front().call);
        held_.pop_front();
        fold(call, call.source.duration_ns);
    }
}

void TextSink::show_repeats()
{
    repeats_shown_ns_ = now_ns_;
    for (const std::string& fingerprint : repeated_) {
        Fold& fold = folds_[fingerprint];
        pending_ +=
            fmt::format("×{} more like #{}, longest {}\n", fold.repeats, fold.number, format_duration(fold.longest_ns));
        fold.repeats = 0;
        fold.longest_ns = 0;
    }
    repeated_.clear();
}

void TextSink::forget_folds()
{
    show_repeats();
    folds_.clear();
}

}  // namespace loopwatch
