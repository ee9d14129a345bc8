// SPDX-License-Identifier: Apache-2.0
//
// Gate: which findings let a run fail. Those of the types (and kinds) that were named, unless a suppression allows them
// or a baseline knows them and they have not become worse.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/suppressions.hpp"

namespace loopwatch {

struct FailOn {
    std::string type;
    std::optional<Kind> kind;  // none: any
};

// Findings that were there already: fingerprints, each with the longest of its durations.
class Baseline {
public:
    // One that was written by text(). Fails, with the line in `line`, if it is not, or of another version.
    static std::optional<Baseline> parse(std::string_view text, std::string& what);
    std::string text() const;
    void add(const FindingView& finding);
    // Is it there, and was it not less than half as long? Not if its fingerprint is that of other places, too.
    bool covers(const FindingView& finding) const;
    std::size_t size() const noexcept { return known_.size(); }

private:
    struct Known {
        std::uint64_t longest_ns = 0;
        std::string description;
    };
    std::map<std::string, Known, std::less<>> known_;  // by fingerprint
};

// What fails, once a fingerprint.
struct Failure {
    std::string type, kind, call, verdict, fingerprint;
    std::string function, file;
    std::uint32_t line = 0;
    std::uint64_t longest_ns = 0, count = 0;  // stalls of one dispatch are counted once
    Incidents incidents;
};

class Gate {
public:
    std::vector<FailOn> fail_on;  // none: nothing fails
    Suppressions suppressions;
    std::function<bool(const FindingView&)> also_allows;  // beside these; none: nothing
    std::optional<Baseline> baseline;

    // False: it is suppressed, and not to be reported.
    bool admit(const FindingView& finding);
    // Of a finding that has a type only.
    void note(std::string_view type, std::string_view verdict);
    // Of what is no finding, and fails a gate that wants any.
    void fail(std::string_view type, std::string_view verdict);
    bool failed() const noexcept { return !failures_.empty(); }
    const std::vector<Failure>& failures() const noexcept { return failures_; }
    // All that was admitted.
    const Baseline& seen() const noexcept { return seen_; }
    // Incidents: of those that were wanted, how many the baseline knows; of all, how many none can know.
    std::uint64_t excused() const noexcept { return excused_; }
    std::uint64_t placeless() const noexcept { return placeless_; }

private:
    static constexpr std::size_t max_failures = 10'000;
    bool is_wanted(std::string_view type, std::optional<Kind> kind) const;
    Failure* failure(std::string_view type, std::string_view fingerprint);

    std::vector<Failure> failures_;
    std::map<std::string, std::size_t, std::less<>> by_fingerprint_;  // type and fingerprint
    Baseline seen_;
    std::uint64_t excused_ = 0, placeless_ = 0;
    Incidents excused_incidents_, placeless_incidents_;
};

}  // namespace loopwatch
