// SPDX-License-Identifier: Apache-2.0
//
// Attachment: one target that is being watched. attach() → refresh() whenever it may have loaded a module → destroyed:
// detached.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "analysis/finding.hpp"
#include "collect/kernel.hpp"
#include "session/loop_finder.hpp"
#include "stack/symbol_worker.hpp"
#include "target/loops.hpp"
#include "target/process.hpp"

namespace loopwatch {

struct AttachmentOptions {
    bool trace = false;
    bool coroutines = false;
};

class Attachment {
public:
    // Fails as Process::open does. Loops of a program without probes are found once the worker has unwound the stacks
    // it was sent.
    static Result<std::unique_ptr<Attachment>> attach(pid_t pid, Kernel& kernel, SymbolWorker& worker,
                                                      const AttachmentOptions& options);
    ~Attachment();
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;

    // Attaches to modules and enters loops that are new since the last time.
    Result<void> refresh();
    void detach_coroutines() { loopwatch::detach(std::exchange(coroutine_links_, {})); }
    void detach_trace() { loopwatch::detach(std::exchange(trace_links_, {})); }
    // From all probes: the target is as it was.
    void detach();

    const Process& process() const noexcept { return process_; }
    Loops& loops() noexcept { return loops_; }
    const std::vector<LoopView>& known_loops() const noexcept { return known_loops_; }
    // Of programs without probes: where one of its threads waits.
    void on_wait(const WaitEvent& event);
    // What the loop publishes, or what the kernel side keeps for it; false: unreadable, or it is gone.
    bool read(const LoopView& loop, lw_loop_slot& slot) const;
    std::optional<std::uint64_t> seq(const LoopView& loop) const;
    // For sure: it cannot go on without a context switch.
    bool sleeps(const LoopView& loop) const;
    // False: what the slot tells of is older than its start, or than the first look at it.
    bool saw_begin(const LoopView& loop, const lw_loop_slot& slot) const;
    // Whose resume this part of an iteration began with, with --coroutines; none: `frame` is 0.
    lw_resume coroutine(const LoopView& loop, std::uint64_t seq) const;
    // Says in the warnings what cannot be seen by now: no loop at all, threads that never wait.
    void warn_of_blindness();
    const LoopFinder* finder() const { return finder_ ? &*finder_ : nullptr; }
    LoopFinder* finder() { return finder_ ? &*finder_ : nullptr; }
    // By thread and id: each DSO that contains the runtime counts its loops from 1.
    void add_loop(std::uint64_t slot, std::uint32_t tid);
    void remove_loop(std::uint32_t tid, std::uint64_t loop_id);
    const LoopView* find_loop(std::uint32_t tid, std::uint64_t loop_id) const;

    const std::set<std::string>& probes() const noexcept { return probes_; }
    std::vector<int> tiers() const;
    const std::string& build_id() const noexcept { return build_id_; }
    const std::vector<std::string>& warnings() const noexcept { return warnings_; }
    std::uint32_t pid() const noexcept { return static_cast<std::uint32_t>(process_.pid()); }
    std::uint32_t ns_pid() const noexcept { return ns_pid_; }
    const std::string& comm() const noexcept { return comm_; }
    // A thread as records name it; looked up once an interval, since threads rename themselves.
    const Subject& subject(std::uint32_t tid);

private:
    struct Bodies {  // of coroutines in one file
        Fd file;
        std::string path;
        std::vector<CoroutineBody> list;
    };
    Attachment(Process process, Kernel& kernel, SymbolWorker& worker, const AttachmentOptions& options);
    Result<void> attach_module(const ModuleMapping& module);
    static Bodies bodies(const ModuleMapping& module, const std::vector<std::uint64_t>& offsets);
    Result<void> attach_coroutines();
    void state_price(const std::string& path, const std::vector<CoroutineBody>& list);
    std::vector<CheckedSite> check(const ModuleMapping& module, const std::vector<ProbeSite>& sites);
    void scan_registries();
    void found_loop(std::uint32_t tid);
    void warn(std::string warning);

    Process process_;
    Loops loops_;
    Kernel& kernel_;
    SymbolWorker& worker_;
    AttachmentOptions options_;
    std::uint32_t ns_pid_ = 0;
    std::string comm_;
    std::unordered_map<std::uint32_t, Subject> subjects_;

    std::uint64_t modules_hash_ = 0;
    bool perf_map_ = false;                                      // the worker has one
    std::set<std::pair<std::uint64_t, std::uint64_t>> scanned_;  // device, inode
    std::vector<std::uint64_t> registries_;                      // addresses
    std::vector<LoopView> known_loops_;
    std::vector<Link> links_, trace_links_, coroutine_links_;
    std::size_t coroutines_ = 0;    // bodies attached to
    std::vector<Bodies> bodies_;    // not attached to yet
    std::set<std::string> probes_;  // attached
    bool carries_runtime_ = false;
    std::optional<LoopFinder> finder_;  // of programs without the runtime's probes
    std::string build_id_;
    bool shim_ = false;
    std::vector<std::string> warnings_;
};

using Targets = std::map<std::uint32_t, std::unique_ptr<Attachment>>;  // by pid

}  // namespace loopwatch
