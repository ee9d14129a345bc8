// SPDX-License-Identifier: Apache-2.0
//
// KernelSource: targets that are watched by the kernel side. open() → attach() what runs already → children, other
// programs of the same name, and what targets become by execve(2) are attached to as they come.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "attach/attachment.hpp"
#include "attach/candidates.hpp"
#include "attach/children.hpp"
#include "attach/new_images.hpp"
#include "attach/overhead_limit.hpp"
#include "attach/poll_watch.hpp"
#include "collect/kernel.hpp"
#include "detect/engine.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

struct KernelSourceOptions {
    std::vector<pid_t> pids;
    std::string name;                            // those that begin with this name are watched too; empty: none
    bool wait = false;                           // there may be none of it yet
    std::shared_ptr<const Selection> selection;  // processes of the machine that are watched too; null: none
    bool follow_children = false;
    bool from_start = false;  // targets have not begun to run: that they have no loop yet says nothing
    double max_overhead_percent = 2;
    AttachmentOptions attachment;
    std::function<bool()> asked_to_end = [] { return false; };  // whatever is still to be found
};

class KernelSource final : public TargetSource {
public:
    static Result<std::unique_ptr<KernelSource>> open(KernelSourceOptions options, const KernelOptions& of_kernel,
                                                      Engine& engine, SymbolWorker& worker);
    ~KernelSource() override;

    // To what runs already, as to all that comes later, and waits until its loops are known. Detection is live then.
    // Fails if none of the processes can be watched: the others are left out, with a warning.
    Result<void> attach();
    // The selection has changed: all processes of the machine are chosen from again, targets among them.
    void select_anew(std::uint64_t now_ns) { candidates_.scan(now_ns); }
    // What came while it was attached to; from here on what probes cost is measured.
    void go_live(std::uint64_t now_ns);

    bool drain(std::size_t most, const Observe& observe) override;
    void drain_present(const Observe& observe) override;
    std::unique_ptr<Sampling> sample(std::uint32_t tid, std::uint64_t period_ns) override;
    bool set_watchdog_asleep(bool asleep) override;
    void turn(std::uint64_t now_ns) override;
    std::uint64_t next_ns() const override;
    void tick(std::uint64_t now_ns) override { watch_polls(now_ns); }
    void interval(std::uint64_t now_ns) override;
    bool exhausted() override;
    void leave(Target& target, std::string_view reason, const Observe& observe) override;
    void leave_all(const Observe& observe) override;
    // Are there processes that are being attached to?
    bool is_attaching() const { return !images_.empty() || !arriving_.empty(); }
    // What the traps of frequent probes cost the targets so far.
    std::uint64_t traps_ns() const;
    Counts losses() const override;
    Overhead overhead() const override;

private:
    static constexpr std::size_t max_early = 4096;
    // A program that starts may be in its first callback before the stack of its first wait is unwound. With the
    // niceness that the worker has otherwise, that took 320 ms beside a program that burns and two compilers. It is in
    // its loop by then, most likely:
    static constexpr std::uint64_t starting_ns = 2'000'000'000;

    KernelSource(KernelSourceOptions options, Engine& engine, SymbolWorker& worker);
    Result<void> leave_out(pid_t pid, const Error& error);
    Result<void> refuse(pid_t pid, const Error& error);
    Result<void> watch_process(NewImages::Ready image);
    Result<void> add_attached();
    Result<void> add_ready(std::uint64_t now_ns);
    Result<void> go_on(std::uint64_t now_ns);
    Result<void> await_loops();
    void take_early(const Event& event);
    bool is_held(const Event& event) const;
    bool is_arriving(pid_t pid) const;
    bool has_name(pid_t pid);
    bool knows(pid_t pid) const;
    void adopt(std::uint64_t now_ns);
    void admit_chosen(std::uint64_t now_ns);
    void dismiss_image(pid_t process);
    void begin_image(std::uint32_t pid, std::uint64_t now_ns);
    void select_again(pid_t pid);
    void retire(Attachment::Leaving leaving);
    bool retiring() const;
    void take(const Event& event, const Observe& observe);
    void on(const ExecEvent& event);
    void on(const ChildEvent& event);
    void watch_polls(std::uint64_t now_ns);
    void limit(std::uint64_t now_ns);
    void drain_all(const Observe& observe);
    Attachments attachments() const;
    Attachment* find(std::uint32_t pid) const;
    bool follows_name() const { return !options_.name.empty(); }
    bool selects() const { return options_.selection != nullptr; }

    KernelSourceOptions options_;
    Engine& engine_;
    SymbolWorker& worker_;
    std::unique_ptr<Kernel> kernel_;
    std::vector<std::future<Result<Fd>>> unwanted_;  // events that are being opened, of samplings that have ended
    Reactor::Watch ring_;
    Children children_;
    Candidates candidates_;
    std::map<pid_t, TargetChoice> choices_;  // of those that arrive
    NewImages images_;
    std::vector<std::unique_ptr<Attachment>> arriving_;  // whose probes are being attached
    PollWatch poll_watch_;
    std::future<void> retiring_;
    std::set<pid_t> left_out_;  // cannot be watched
    std::array<OverheadLimit, frequent_kinds> limits_;
    std::vector<Event> early_;            // came before the session was live
    std::uint64_t calibrated_at_ns_ = 0;  // what probes cost is measured until then; 0: it has been
    std::uint64_t processes_missed_ = 0;
    bool live_ = false;
    bool polls_unwatched_ = false;
    bool has_children_ = false;  // that are not to be watched
};

}  // namespace loopwatch
