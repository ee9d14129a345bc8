// SPDX-License-Identifier: Apache-2.0
//
// What a TextEncoder writes of small records.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "findings.hpp"
#include "output/text_encoder.hpp"

namespace loopwatch::text_report {

inline constexpr std::uint64_t ms = 1'000'000;
inline constexpr std::uint64_t second = 1'000 * ms;

class Written {
public:
    explicit Written(bool quiet = false, bool gated = false) : encoder_({false, quiet, gated, ClockAnchor{0, 0}}) {}
    void write(const Report& report) { encoder_.encode(report, lines_); }
    template <class Finding>
    requires requires(Finding finding) { only(finding); }
    void write(const Finding& finding) { write(only(finding)); }
    // What was written since the last call.
    std::string take() { return std::exchange(lines_, {}); }

private:
    TextEncoder encoder_;
    std::string lines_;
};

inline SlowCallback slow(std::uint64_t seq, std::uint64_t end_ns, std::uint64_t duration_ns, std::string fingerprint)
{
    SlowCallback record;
    record.subject = {1, 1, 1, 1, "server"};
    record.loop = {"1", "main"};
    record.dispatch_seq = seq;
    record.end_ns = end_ns;
    record.duration_ns = duration_ns;
    record.fingerprint = std::move(fingerprint);
    record.verdict = "slow " + std::to_string(seq);
    return record;
}

inline BlockingCall blocking(std::uint64_t seq, std::uint64_t end_ns, std::string fingerprint)
{
    BlockingCall record;
    record.subject = {1, 1, 1, 1, "server"};
    record.loop = {"1", "main"};
    record.dispatch_seq = seq;
    record.end_ns = end_ns;
    record.source.duration_ns = 12 * ms;
    record.fingerprint = std::move(fingerprint);
    record.verdict = "blocked " + std::to_string(seq);
    return record;
}

inline LoopStats tick(std::uint64_t at_ns)
{
    LoopStats stats;
    stats.subject = {1, 1, 1, 1, "server"};
    stats.loop = {"1", "main"};
    stats.at_ns = at_ns;
    stats.interval_ns = second;
    stats.dispatches = 1'000;
    stats.busy_ns = second / 4;
    stats.dispatch_ns.max = at_ns / 100;
    return stats;
}

inline SessionEnd end(std::uint64_t at_ns)
{
    SessionEnd record;
    record.at_ns = at_ns;
    return record;
}

inline bool has(const std::string& text, const std::string& part)
{
    return text.find(part) != text.npos;
}

}  // namespace loopwatch::text_report
