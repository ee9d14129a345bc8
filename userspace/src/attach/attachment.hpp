// SPDX-License-Identifier: Apache-2.0
//
// Attachment: one target that is being watched. attach() → its probes are live → the loops that it runs already are
// known → refresh() whenever it may have loaded a module → destroyed: detached.
#pragma once

#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attach/handover_watch.hpp"
#include "attach/loop_finder.hpp"
#include "attach/loop_search.hpp"
#include "attach/mapped_files.hpp"
#include "attach/start_watch.hpp"
#include "collect/kernel.hpp"
#include "detect/target.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

struct AttachmentOptions {
    std::array<bool, frequent_kinds> frequent = {};
    bool debug = false;
    Thresholds thresholds;
    // Of the session: it was said that a loop was recognised late. With -n, workers that start at once all are.
    std::shared_ptr<bool> late_told = std::make_shared<bool>(false);

    bool& wants(Frequent kind) { return frequent[static_cast<std::size_t>(kind)]; }
    bool wants(Frequent kind) const { return frequent[static_cast<std::size_t>(kind)]; }
};

class Attachment final : public Target {
    struct Attached {
        std::optional<Frequent> kind;  // none: probes that are rarely hit
        std::vector<Link> links;
    };

public:
    // What detaches it. Waits for grace periods, and for probes that are still being attached.
    class Leaving {
    public:
        void detach();
        bool empty() const { return links_.empty() && !attaching_.valid(); }

    private:
        friend class Attachment;
        std::vector<Link> links_;
        std::future<Result<std::vector<Attached>>> attaching_;
    };

    // Its probes are live some milliseconds later, and its loops are known once the worker has unwound the stacks that
    // it was sent: go_on() is to be called until then. Waits for the worker where that has not read the files yet.
    // `starts`: it has just begun to run, or will.
    static Result<std::unique_ptr<Attachment>> attach(OpenedProcess opened, Kernel& kernel, SymbolWorker& worker,
                                                      const AttachmentOptions& options, LoopSearch::Sample sample,
                                                      bool starts);
    ~Attachment() override;

    // Enters loops that are new since the last time, and begins to look for new modules.
    Result<void> refresh() override;
    // From these, for good.
    void detach(Frequent kind);
    // Nothing new of it is heard. It is as it was once these links are gone, which takes grace periods. What is known
    // of it stays, for findings that wait for names. `stays_admitted`: its process goes on as another image, and the
    // kernel side is to go on asking where that waits: within a millisecond it may be in its loop's first callback.
    Leaving leave(bool stays_admitted = false);

    void on(const LoopStartedEvent& event) override;
    // Of programs without probes: where one of its threads waits.
    void on(const WaitEvent& event) override;
    bool read(const LoopView& loop, LoopState& slot) const override;
    std::optional<std::uint64_t> seq(const LoopView& loop) const override;
    bool sleeps(const LoopView& loop) const override;
    bool saw_begin(const LoopView& loop, const LoopState& slot) const override;
    CoroutineResume coroutine(const LoopView& loop, std::uint64_t seq) const override;
    std::optional<DispatchBundle> stall(const OverdueDispatch& overdue, DispatchBook& book, const Observe&) override;
    std::optional<SourceEvent> blocked_at(std::uint32_t tid) const override;
    bool proven(std::uint32_t tid) const override { return !finder_ || finder_->proven(tid); }
    Iterations iterations_of(DispatchFacts facts) override;
    // Says in the warnings what cannot be seen by now: no loop at all, threads that never wait.
    void warn_of_blindness();
    // Lets the worker read its modules before it has to tell, by the first wait of a thread, whether that is a loop's:
    // of redis that took 100 ms, in which the first stall began and ended.
    void read_code_ahead();
    // Where probes say which loops it runs, detection is not live before these are attached.
    bool is_live() const { return finder_ || !attaching_.valid(); }
    // Are there loops that it runs already, and that are not known yet?
    bool is_searching() const;
    // Goes on with what was begun: probes that are attached, files that are read by now. Where the stack of a wait led
    // to code that was not known: looks for modules that it has mapped since.
    void go_on(std::uint64_t now_ns);
    // When to do so next; 0: when the worker has answered, or there is nothing to be done.
    std::uint64_t next_ns(std::uint64_t now_ns) const;
    // Why its probes could not be attached at all, if it has not been live.
    const std::optional<Error>& failure() const noexcept { return failure_; }
    // True: it was taken to see whether its thread is a loop.
    bool take(const Event& event);
    // Those that turned out to be of a loop.
    std::vector<Event> take_hanging();
    const LoopFinder* finder() const { return finder_ ? &*finder_ : nullptr; }
    LoopFinder* finder() { return finder_ ? &*finder_ : nullptr; }
    void remove_loop(std::uint32_t tid, std::uint64_t loop_id) override;
    // Has one of its threads turned out to be a loop since the last call?
    bool take_found() { return std::exchange(found_, false); }
    std::vector<std::pair<std::uint32_t, std::uint64_t>> take_ended() override { return std::exchange(ended_, {}); }

    const std::set<std::string>& probes() const noexcept override { return probes_; }
    std::vector<int> tiers() const override;

private:
    struct Bodies {  // of coroutines in one file
        Fd file;
        std::string path;
        std::vector<CoroutineBody> list;
    };
    using FileName = std::pair<std::uint64_t, std::uint64_t>;  // device, inode
    struct Scanned {
        bool attached = false;
        std::uint64_t file_offset = 0;          // of the mapping by which it was scanned
        std::optional<std::uint64_t> registry;  // from where that begins
    };
    // What is to be attached to, in one file. No kind: probes that are rarely hit.
    struct Chosen {
        std::optional<Frequent> kind;
        std::function<Result<std::vector<Link>>(Kernel& kernel, pid_t pid)> attach;
    };
    static Result<std::vector<Attached>> attach_all(Kernel& kernel, pid_t pid, const std::vector<Chosen>& chosen);
    std::vector<Link>& links_of(Frequent kind) { return frequent_links_[static_cast<std::size_t>(kind)]; }
    Attachment(Process process, Kernel& kernel, SymbolWorker& worker, const AttachmentOptions& options);
    Result<void> start_finder(LoopSearch::Sample sample, bool starts);
    void read_files(std::uint64_t now_ns);
    Result<void> use(MappedFiles files);
    void attach_modules(const std::vector<ModuleMapping>& modules);
    void attach_module(const ModuleMapping& module, const Result<ModuleScan>& scan, Scanned& scanned);
    const Result<ModuleScan>* scan_of(const ModuleMapping& module);
    void attach_chosen();
    Result<void> take_attached();
    ScanOptions scan_options() const { return {options_.wants(Frequent::coroutines)}; }
    void choose_coroutines();
    void choose_throws();
    void state_price(const std::string& path, const std::vector<CoroutineBody>& list);
    std::vector<CheckedSite> check(const ModuleMapping& module, const std::vector<ProbeSite>& sites);
    void scan_registries();
    void note_ended_threads();
    void keep_loop(LoopView loop);
    std::optional<OngoingDispatch> ongoing_of(const OverdueDispatch& overdue, DispatchBook& book) const;
    std::optional<OngoingDispatch> found_asleep(const OverdueDispatch& overdue, std::uint64_t entered_ns) const;
    std::optional<std::uint64_t> seq_of(const OverdueDispatch& overdue) const;
    void found_loop(std::uint32_t tid, std::optional<std::uint64_t> known_since_ns);
    void found_scheduler(std::string_view runtime);
    void warn_of_handover();

    Kernel& kernel_;
    SymbolWorker& worker_;
    AttachmentOptions options_;

    std::uint64_t modules_hash_ = 0, read_ns_ = 0;
    std::future<Result<MappedFiles>> reading_files_;      // open beside the engine
    bool reading_for_cut_ = false;                        // of stacks that led to unknown code
    bool reads_too_long_ = false;                         // it was said that it never returns
    std::vector<std::uint64_t> code_starts_;              // of its modules
    std::map<std::uint32_t, std::uint64_t> first_waits_;  // of threads that may run a loop: when they were asked about
    bool found_ = false;                                  // a loop, since take_found()
    std::set<std::string> go_modules_;                    // paths of those that Go's linker has made
    bool scheduled_ = false;                              // threads of its belong to the scheduler of a runtime
    std::map<FileName, Scanned> scanned_;
    // Files that it has mapped since its start and that are being read. Shared: answers come after its end, too.
    struct Reading {
        unsigned files = 0;
        bool some_done = false;
        std::uint64_t slow_ns = 0;  // of those that took long
    };
    std::shared_ptr<Reading> reading_ = std::make_shared<Reading>();
    std::vector<std::uint64_t> registries_;  // addresses
    std::set<std::uint32_t> gone_;           // threads of loops, at the last scan
    std::vector<std::pair<std::uint32_t, std::uint64_t>> ended_;
    std::vector<Chosen> chosen_;
    std::future<Result<std::vector<Attached>>> attaching_;
    std::vector<Link> links_;
    std::array<std::vector<Link>, frequent_kinds> frequent_links_;
    std::size_t coroutines_ = 0;                        // bodies attached to
    std::vector<Bodies> bodies_;                        // not attached to yet
    std::vector<std::pair<Fd, std::uint64_t>> throws_;  // the same: modules that throw, and where
    std::set<std::string> probes_;                      // attached
    bool carries_runtime_ = false;
    std::optional<LoopFinder> finder_;  // of programs without the runtime's probes
    std::optional<LoopSearch> search_;
    std::optional<StartWatch> start_watch_;
    std::uint64_t ahead_ = 0;  // asked of the worker, when it was to read code ahead
    std::optional<Error> failure_;
    std::size_t unscanned_ = 0;  // files that the worker could not read
    HandoverWatch handover_;
    bool shim_ = false;
    bool left_ = false;
};

using Attachments = std::vector<Attachment*>;

}  // namespace loopwatch
