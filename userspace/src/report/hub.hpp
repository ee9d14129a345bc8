// SPDX-License-Identifier: Apache-2.0
//
// Hub: every report goes to every sink. Each sink has rate limits of its own; what is over a limit, and what a sink had
// no room for, is counted in the session_stats and session_end that this sink gets. A required sink that fails ends the
// session. An optional one is tried again after a second, and keeps no one waiting for its reader.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analysis/completeness.hpp"
#include "output/limiter.hpp"
#include "output/sink.hpp"

namespace loopwatch {

struct SinkOptions {
    bool required = true;
    // Null: all that comes. By default those of a session.
    std::shared_ptr<FindingLimits> limits = std::make_shared<Limiter>();
};

class Hub {
public:
    static constexpr std::uint64_t retry_ns = 1'000'000'000;  // after a failure

    // `name`: for messages, such as the path of its file.
    void add(std::string name, std::unique_ptr<Sink> sink, SinkOptions options = {});

    void take(const Report& report, std::uint64_t now_ns);
    // Makes visible to readers what was taken.
    void flush(std::uint64_t now_ns);
    // The same of all that is left, at the end of a session; waits for readers of required sinks, once all others have
    // what they can take.
    void close();

    // Is one of them read by people as it comes?
    bool for_people() const;
    // The first failure of a required sink: nothing is delivered to it any more, and the session ends.
    const std::optional<Error>& failure() const noexcept { return failure_; }
    // Of optional sinks, since the last call: what to warn of, once for each row of failures, and what is missing at
    // the end.
    std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }
    // Of the session's end, as the first required sink got it.
    const Completeness& completeness() const noexcept { return completeness_; }
    // Descriptors that are writable when flush() can go on.
    std::vector<int> waits_for() const;

private:
    struct Entry {
        std::string name;
        std::unique_ptr<Sink> sink;
        SinkOptions options;
        bool ended = false;             // a required one that has failed
        std::uint64_t retry_at_ns = 0;  // 0: it works
        std::uint64_t lost = 0;         // records that came while it did not
    };
    void deliver(Entry& entry, const Report& report, std::uint64_t now_ns);
    void fail(Entry& entry, const Error& error, std::uint64_t now_ns);
    static bool is_down(const Entry& entry, std::uint64_t now_ns);
    static void count_losses(const Entry& entry, Counts& lost);

    std::vector<Entry> entries_;
    std::optional<Error> failure_;
    std::vector<std::string> warnings_;
    Completeness completeness_;
};

}  // namespace loopwatch
