// SPDX-License-Identifier: Apache-2.0
//
// ShimSource: targets that are watched from inside, without a kernel side, as any user. A program is started with the
// shim in it; the shim of each process makes a ring in a directory of ours.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attach/shim_target.hpp"
#include "detect/engine.hpp"
#include "stack/symbol_worker.hpp"
#include "target/launch.hpp"
#include "util/fd.hpp"

namespace loopwatch {

struct ShimSourceOptions {
    Thresholds thresholds;
    bool follow_children = false;
};

class ShimSource final : public TargetSource {
public:
    // Everything that keeps the program from being seen goes wrong here.
    static Result<std::unique_ptr<ShimSource>> open(ShimSourceOptions options, std::vector<std::string> command,
                                                    Engine& engine, SymbolWorker& worker);
    ~ShimSource() override;

    // As far as the file of the program shows.
    const std::vector<int>& tiers() const noexcept { return tiers_; }
    // Starts the program.
    Result<void> launch();
    Launch& launched() { return *launched_; }

    bool drain(std::size_t most, const Observe& observe) override;
    void drain_present(const Observe& observe) override { (void)drain(max_records, observe); }
    // From inside nothing can.
    std::unique_ptr<Sampling> sample(std::uint32_t, std::uint64_t) override { return nullptr; }
    bool set_watchdog_asleep(bool) override { return false; }
    void turn(std::uint64_t now_ns) override;
    std::uint64_t next_ns() const override;
    bool exhausted() override;
    void leave(Target& target, std::string_view reason, const Observe& observe) override;
    void leave_all(const Observe&) override
    {
        newcomers_watch_ = {};
        meet_newcomers();
    }
    void finish() override;
    Counts losses() const override;
    Counts coverage() const override { return {{"calls_measured", ended_.calls}}; }
    Overhead overhead() const override { return {}; }

private:
    static constexpr std::size_t max_records = 4096;  // handled in one round
    ShimSource(ShimSourceOptions options, std::vector<std::string> command, Engine& engine, SymbolWorker& worker);
    Result<void> make_directory();
    void meet_newcomers();
    void meet(const std::string& path);
    void add_opened(std::uint64_t now_ns);
    void miss(std::uint32_t pid, const Error& error);
    void finish_arriving();
    bool is_program(std::uint32_t pid) const { return pid == static_cast<std::uint32_t>(launched_->pid()); }

    ShimSourceOptions options_;
    std::vector<std::string> command_;
    Engine& engine_;
    SymbolWorker& worker_;
    std::string program_, shim_;  // paths
    std::vector<int> tiers_ = {1};
    std::string directory_;
    Fd newcomers_;  // inotify of the directory
    std::optional<Launch> launched_;
    Reactor::Watch newcomers_watch_, exit_watch_;
    // Their files are being opened. Or a process has become another one by execve(2): the last one has findings to
    // report.
    std::vector<std::unique_ptr<ShimTarget>> arriving_;
    bool met_ = false;         // the program itself
    bool closed_ = false;      // its shim has come, but it cannot be looked into
    bool unreadable_ = false;  // the file of the program
    bool children_unwatched_ = false, child_elsewhere_ = false;

    ShimRing::Counts ended_;  // of targets that are gone
    ShimTarget::Unproven unproven_;
    std::string first_unproven_;
    std::uint64_t missed_ = 0;
    std::uint64_t next_look_ns_ = 1;
};

}  // namespace loopwatch
