// SPDX-License-Identifier: Apache-2.0
//
// What somebody knows of and does not want to hear of: a file of rules, and which of them speaks of a finding.
//
//   # the log is written by the loop, and that is all right while it is quick
//   allow lock inside shop::AccessLog::* up to 50us
//   allow dns in libldap*.so* until 2027-03-31
//   allow file_io inside Cache::load {
//       deny call fsync
//   }
//   deny call fsync
//
// allow or deny, then conditions, all of which must hold: a kind (lock, dns …), `call NAME`, `inside FUNCTION` (of any
// frame), `in MODULE` (of any frame), `task NAME`; names may hold *. `up to DURATION`: not if it took longer. `until
// DATE`: through that day. Of the rules that hold the last one decides, and within its braces again; if none does, the
// finding is denied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/finding.hpp"

namespace loopwatch {

// The dispatch in which a finding was made. Its stalls, its end and its calls are one event.
struct Incident {
    std::uint32_t pid = 0, tid = 0;
    std::string loop;
    std::uint64_t seq = 0;
    std::uint32_t image = 0;  // how many programs its process had executed before
    auto operator<=>(const Incident&) const = default;
};

// Counts each incident once, though its findings come among those of other loops; bounded, by the latest.
class Incidents {
public:
    // False: it was counted.
    bool add(const std::optional<Incident>& incident);
    // All that were added are among these, as far as they are remembered.
    bool within(const Incidents& others) const;
    void add(const Incidents& others);

private:
    static constexpr std::size_t most = 256;
    std::deque<Incident> latest_;
    bool forgot_ = false;
};

// What rules look at, of any finding.
struct FindingView {
    std::string_view type;
    Kind kind = Kind::other;
    std::string_view call, task;
    std::uint64_t duration_ns = 0;
    const std::vector<Frame>* stack = nullptr;
    std::string_view fingerprint, verdict;
    bool place_known = true;           // false: what it does in another place has the same fingerprint
    std::optional<Incident> incident;  // none: one of its own
};
FindingView view_of(const BlockingCall& call);
// By the costliest source that is the code's doing.
FindingView view_of(const SlowCallback& slow);
FindingView view_of(const Stall& stall);

class Suppressions {
public:
    struct Rule {
        bool allows = false;
        std::size_t line = 0;
        std::string text;  // as it was written, without its braces
        std::optional<Kind> kind;
        std::string call, function, module, task;  // empty: any
        std::optional<std::uint64_t> up_to_ns;
        std::string until;  // YYYY-MM-DD; empty: for ever
        bool expired = false;
        std::uint64_t hits = 0;  // incidents
        Incidents incidents;
        std::vector<Rule> inner;
    };
    struct Problem {
        std::size_t line = 1, column = 1;
        std::string what;
    };

    // `today`: YYYY-MM-DD. What is wrong comes back in `problem`, and no rule with it.
    static Suppressions parse(std::string_view text, std::string_view today, std::optional<Problem>& problem);

    // Counts a hit of the rule that decides.
    bool allows(const FindingView& finding);
    const std::vector<Rule>& rules() const noexcept { return rules_; }

private:
    std::vector<Rule> rules_;
};

}  // namespace loopwatch
