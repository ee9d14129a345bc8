// SPDX-License-Identifier: Apache-2.0
//
// What holds of every finding and its encodings, whatever the records say; of those whose records keep to the script's
// times and lengths, more.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "analysis/explain.hpp"
#include "invariant.hpp"
#include "output/record_json.hpp"
#include "output/text_encoder.hpp"
#include "record_script.hpp"
#include "util/text.hpp"

class FindingRules {
public:
    explicit FindingRules(bool wild) : wild_(wild) {}

    void check(const loopwatch::Findings& findings)
    {
        for (const auto& call : findings.blocking) check(call);
        if (findings.slow) check(*findings.slow);
        if (findings.stall) check(*findings.stall);
        write(findings);
    }
    void check(const loopwatch::TaskEvent& event) { write(event); }
    void end()
    {
        loopwatch::SessionEnd end;
        end.at_ns = RecordScript::began_ns;
        write(end);
    }

private:
    void check_length(std::uint64_t ns) const { hold(wild_ || ns < RecordScript::longest_ns, "no negative length"); }
    void check_source(const loopwatch::Source& source) const
    {
        check_length(source.duration_ns);
        check_length(source.longest_ns);
        if (source.waker) check_length(source.waker->runq_ns);
    }
    void check(const loopwatch::BlockingCall& call)
    {
        check_source(call.source);
        hold(wild_ || call.source.duration_ns >= call.threshold_ns, "no blocking call below its threshold");
        hold(!call.fingerprint.empty() && !call.verdict.empty() && !call.seen_by.empty(), "a whole finding");
    }
    template <class Finding>  // SlowCallback or Stall
    void check(const Finding& slow)
    {
        const auto& parts = slow.breakdown;
        const auto sum =
            parts.cpu_ns + parts.blocked_ns + parts.runq_ns + parts.throttled_ns + parts.stopped_ns + parts.other_ns;
        hold(sum == slow.duration_ns, "parts that sum to the duration");
        hold(slow.end_ns >= slow.duration_ns, "an end after the start");
        check_length(slow.duration_ns);
        for (const auto& source : slow.sources) check_source(source);
        hold(std::ranges::is_sorted(slow.sources, std::greater{}, &loopwatch::Source::duration_ns), "sources by cost");
        hold(!slow.fingerprint.empty() && !slow.verdict.empty() && !slow.seen_by.empty(), "a whole finding");
        if (slow.impact) check_length(slow.impact->max_delay_ns);
        if (slow.tasks)
            for (const auto& task : *slow.tasks) hold(task.percent <= 100, "shares of a whole");
    }
    void write(const loopwatch::Report& report)
    {
        std::string lines;
        loopwatch::append_lines(report, {"host", {1, 1}}, lines);
        for (std::size_t at = 0; at < lines.size();) {
            const auto end = lines.find('\n', at);
            hold(end != lines.npos && nlohmann::json::accept(lines.substr(at, end - at)), "lines of JSON");
            at = end + 1;
        }
        std::string text;
        text_.encode(report, text);
        hold(loopwatch::sanitize_utf8(text) == text, "UTF-8");
        hold(std::ranges::none_of(text, [](unsigned char c) { return (c < ' ' && c != '\n') || c == 0x7f; }),
             "nothing that steers a terminal");
    }

    bool wild_;
    loopwatch::TextEncoder text_{{false, false, false, {1, 1}}};
};
