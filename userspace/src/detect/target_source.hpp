// SPDX-License-Identifier: Apache-2.0
//
// TargetSource: who watches, as the engine sees it: the kernel side (attach/kernel_source.hpp), the shims' rings
// (attach/shim_source.hpp), or a test. It finds targets and gives them to the engine; what it observes of them it hands
// over when it is asked to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "analysis/finding.hpp"
#include "collect/event.hpp"
#include "detect/target.hpp"

namespace loopwatch {

class TargetSource {
public:
    virtual ~TargetSource() = default;

    // Hands over at most so many observations; true: more may wait.
    virtual bool drain(std::size_t most, const Observe& observe) = 0;
    // What waits when this is called. A target may write as fast as we read: of what comes meanwhile there is no end.
    virtual void drain_present(const Observe& observe) = 0;

    // Samples the CPU of a thread, once a period. Does not wait until it has begun. Null: this source cannot.
    virtual std::unique_ptr<Sampling> sample(std::uint32_t tid, std::uint64_t period_ns) = 0;
    // Whether the first loop that runs again is to wake the engine. False: this source cannot.
    virtual bool set_watchdog_asleep(bool asleep) = 0;

    // Looks for what is new: before each turn of the engine, and at the latest at next_ns() (0: never by itself).
    virtual void turn(std::uint64_t now_ns) = 0;
    virtual std::uint64_t next_ns() const = 0;
    // Each tick of the watchdog; once an interval.
    virtual void tick(std::uint64_t) {}
    virtual void interval(std::uint64_t) {}
    // Will there be no other target?
    virtual bool exhausted() = 0;

    // The engine lets go of a target: `observe` gets what is still known of it. Nothing new comes after this.
    virtual void leave(Target& target, std::string_view reason, const Observe& observe) = 0;
    // All targets, before their last findings are made: they are not to wait for these.
    virtual void leave_all(const Observe& observe) = 0;
    // Those that were there have been reported: what remains to be said, and to be removed.
    virtual void finish() {}

    // By name, those that are zero included.
    virtual Counts losses() const = 0;
    // What it has seen beside findings, by name.
    virtual Counts coverage() const { return {}; }
    // Runs of programs in the kernel, and what they cost.
    virtual Overhead overhead() const = 0;
};

}  // namespace loopwatch
