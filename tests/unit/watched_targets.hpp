// SPDX-License-Identifier: Apache-2.0
//
// An engine with targets and a source that a test makes up. Processes are real ones, which wait to be killed.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <deque>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "../fuzz/late_worker.hpp"
#include "detect/engine.hpp"
#include "fake_target.hpp"
#include "send_signal.hpp"
#include "util/wall_clock.hpp"

namespace loopwatch {

inline constexpr std::uint64_t ms = 1'000'000;
inline constexpr std::uint32_t looper = 4712;

// What is observed is what the test has queued.
class FakeSource final : public TargetSource {
public:
    bool drain(std::size_t most, const Observe& observe) override
    {
        while (most-- > 0 && !queue.empty()) {
            const auto event = std::move(queue.front());
            queue.pop_front();
            observe(event);
        }
        return !queue.empty();
    }
    void drain_present(const Observe& observe) override { (void)drain(queue.size(), observe); }
    std::unique_ptr<Sampling> sample(std::uint32_t, std::uint64_t period_ns) override
    {
        class Refused : public Sampling {
        public:
            explicit Refused(int& count) : count_(count) { ++count_; }
            ~Refused() override { --count_; }
            bool failed() override { return true; }

        private:
            int& count_;
        };
        sampled_every_ns = period_ns;
        return std::make_unique<Refused>(samplings);
    }
    bool set_watchdog_asleep(bool asleep) override
    {
        watchdog_asleep = asleep;
        return can_wake;
    }
    void turn(std::uint64_t) override {}
    std::uint64_t next_ns() const override { return 0; }
    bool exhausted() override { return false; }
    void leave(Target& target, std::string_view reason, const Observe& observe) override
    {
        left.emplace_back(reason);
        if (last_words) observe(*std::exchange(last_words, std::nullopt));
        (void)target;
    }
    void leave_all(const Observe&) override {}
    Counts losses() const override { return {{"ring_full", 7}}; }
    Overhead overhead() const override { return {}; }

    std::deque<Event> queue;
    std::optional<Event> last_words;
    std::vector<std::string> left;
    std::uint64_t sampled_every_ns = 0;
    int samplings = 0;
    bool can_wake = true, watchdog_asleep = false;
};

// A process that waits to be killed.
class Child {
public:
    Child() : pid_(::fork())
    {
        if (pid_ == 0)
            while (true) ::pause();
    }
    ~Child() { end(); }
    void end()
    {
        if (std::exchange(ended_, true)) return;
        send_signal(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }

private:
    pid_t pid_;
    bool ended_ = false;
};

// The loop runs dispatch `seq` since then. A tick of the counter is a nanosecond.
inline void run(FakeTarget& target, std::uint64_t seq, std::uint64_t since_ns)
{
    target.slot.seq = seq;
    target.slot.loop_id = 3;
    target.slot.start = since_ns;
    target.asleep = false;
}

struct Watched {
    explicit Watched(bool late_names = false, EngineOptions options = {}) : worker(late_names)
    {
        if (!options.wait_status) options.wait_status = [](std::uint32_t) { return std::optional(9); };
        engine = std::make_unique<Engine>(options, reactor, worker, symbols,
                                          [this](Report&& report) { reports.push_back(std::move(report)); });
        engine->start(source, monotonic_ns());
    }
    FakeTarget& add(std::uint32_t pid, bool with_loop = true)
    {
        auto target = std::make_unique<FakeTarget>(static_cast<pid_t>(pid));
        if (with_loop) target->add_loop({.slot = 0x1000, .id = 3, .ns_tid = looper, .tid = looper, .name = "main"});
        auto& added = *target;
        engine->add(std::move(target));
        return added;
    }
    void turn()
    {
        reactor.wait_until(0);
        engine->turn(monotonic_ns());
    }
    // What was observed, and a turn.
    void observe(std::initializer_list<Event> events)
    {
        source.queue.insert(source.queue.end(), events);
        turn();
    }
    // Its loop is in dispatch 41 for 150 ms, and the engine has looked: when that was.
    std::uint64_t stall(FakeTarget& target)
    {
        const auto now = monotonic_ns();
        run(target, 41, now - 150 * ms);
        engine->turn(now);
        return now;
    }
    template <class Kind>
    std::vector<Kind> all() const
    {
        std::vector<Kind> found;
        for (const auto& report : reports)
            if (const auto* one = std::get_if<Kind>(&report)) found.push_back(*one);
        return found;
    }
    std::size_t stalls() const
    {
        const auto findings = all<Findings>();
        return static_cast<std::size_t>(
            std::ranges::count_if(findings, [](const Findings& f) { return f.stall.has_value(); }));
    }

    Reactor reactor;
    LateWorker worker;
    KernelSymbols symbols;
    FakeSource source;
    std::vector<Report> reports;
    std::unique_ptr<Engine> engine;
};

inline DispatchEvent dispatch(std::uint32_t pid, std::uint64_t seq, std::uint64_t end_ns, std::uint64_t lasted_ns)
{
    DispatchEvent event;
    event.head = {end_ns, pid, looper, 3, seq};
    event.start_ns = end_ns - lasted_ns;
    event.end_ns = end_ns;
    event.slow = true;
    return event;
}

}  // namespace loopwatch
