// SPDX-License-Identifier: Apache-2.0
//
// The report for people. Repeats of a fingerprint within a process are folded: the first in full, later ones as a
// count. A blocking call is part of its slow callback, and has lines of its own only when its dispatch was not slow.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "output/encoder.hpp"
#include "output/text_summary.hpp"

namespace loopwatch {

struct TextOptions {
    bool colours = false;
    bool quiet = false;  // findings only
    bool gated = false;  // they decide on something: quiet or not, it is said if they are not all
    ClockAnchor anchor = ClockAnchor::now();
};

// Time comes from the records; those of loop_stats keep it going when nothing is found.
class TextEncoder final : public Encoder {
public:
    explicit TextEncoder(const TextOptions& options)
        : context_{{options.colours}, options.anchor}, quiet_(options.quiet), gated_(options.gated)
    {
    }

    void encode(const Report& report, std::string& lines) override;
    bool for_people() const override { return true; }

private:
    struct Fold {
        std::uint64_t number = 0;   // of the first one
        std::uint64_t repeats = 0;  // not shown yet
        std::uint64_t longest_ns = 0;
        std::uint64_t shown_ns = 0;  // the longest that was shown in full
    };
    using DispatchKey = std::tuple<std::uint32_t, std::string, std::uint64_t>;  // pid, loop, dispatch
    using FoldKey = std::pair<std::uint32_t, std::string>;                      // pid, fingerprint

    struct Stalled {
        DispatchKey key;
        std::uint64_t number = 0;
        std::vector<Frame> stack = {};  // that was shown; empty: none was
    };

    void add(const SessionStart& start);
    void add(const TargetStart& start);
    void add(const Findings& findings);
    void add(const Stall& stall);
    void add(const TaskEvent& event);
    void add(const LoopStats& stats);
    void add(const SessionStats&) {}
    void add(const CauseStats&) {}
    void add(const TargetEnd& end);
    void add(const Warning& warning);
    void add(const SessionEnd& end);
    // Of no session: task_text.hpp.
    void add(const ListedTask&) {}
    void add(const TaskListEnd&) {}

    // A dispatch that is reported while it runs, and when it has ended, has one number.
    std::uint64_t number_of(const DispatchKey& dispatch);
    const Stalled* stalled(const DispatchKey& dispatch) const;
    std::string full_text(const SlowCallback& slow, Number number) const;
    std::string full_text(const BlockingCall& call, Number number) const { return text_of(call, number, context_); }
    template <class Finding>
    void fold(const Finding& finding, std::uint64_t duration_ns);
    void count_repeat(const FoldKey& key, Fold& fold, std::uint64_t duration_ns);
    void count_running(const std::function<bool(const DispatchKey&)>& of);
    void tell(const std::string& lines);
    void show_repeats();
    void forget_folds();
    void forget_folds_of(std::uint32_t pid);

    std::string lines_;
    TextContext context_;
    std::uint32_t first_pid_ = 0;  // of the targets
    bool quiet_, gated_;

    std::uint64_t now_ns_ = 0;
    std::uint64_t repeats_shown_ns_ = 0;
    std::uint64_t findings_ = 0;
    std::map<FoldKey, Fold> folds_;
    std::deque<FoldKey> repeated_;  // those with repeats, in order of the first one
    std::deque<Stalled> stalled_;
    // Stalls of a kind that is known, not shown: their kind, how long so far.
    std::map<DispatchKey, std::pair<FoldKey, std::uint64_t>> running_;
    LoopTotals loops_;
};

}  // namespace loopwatch
