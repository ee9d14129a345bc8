// SPDX-License-Identifier: Apache-2.0
//
// Findings as lines for a person at 3 a.m.: what happened first, then where the time went, then the code, then who was
// concerned. Every string of the target is escaped. Each result ends in a line end.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "analysis/finding.hpp"
#include "output/text_style.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

struct TextContext {
    TextStyle style;
    ClockAnchor anchor;
    bool several = false;                                 // processes have been watched: each line says whose it is
    std::map<std::uint32_t, std::string> processes = {};  // names of those that are watched, by pid
};

// What later lines refer to it by.
struct Number {
    std::uint64_t own = 0;
    std::uint64_t like = 0;  // of the first that had the same fingerprint, its own if that is it
};

std::string process_name(const Subject& subject);
// `shown`: the stack that was shown when it was reported while it ran; the same one is not shown again.
std::string text_of(const SlowCallback& slow, Number number, const TextContext& context,
                    std::span<const Frame> shown = {});
// Its first line alone.
std::string headline_of(const SlowCallback& slow, Number number, const TextContext& context);
// One line: the verdict names the call and the place.
std::string text_of(const BlockingCall& call, Number number, const TextContext& context);
std::string text_of(const TaskEvent& event, const TextContext& context);

}  // namespace loopwatch
