// SPDX-License-Identifier: Apache-2.0
//
// ShimTarget: a process whose shim tells of it through a ring (collect/shim_ring.hpp), without a kernel side.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "analysis/wait_sites.hpp"
#include "attach/mapped_files.hpp"
#include "collect/shim_ring.hpp"
#include "detect/target.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

class ShimTarget final : public Target {
public:
    // Its files are opened beside; finish_opening() is to be called until they are. Fails if it is gone, or no
    // descriptor is left.
    static Result<std::unique_ptr<ShimTarget>> open(ShimRing ring, SymbolWorker& worker, const Thresholds& thresholds);
    ~ShimTarget() override;
    // True: it can be added, for what its program is has been read; false: not yet. The worker knows it by its pid from
    // here on. Fails if it may not be looked into, or its files are not open by now.
    Result<bool> finish_opening(std::uint64_t now_ns);
    Error not_open(std::uint64_t now_ns) const;

    bool read(const LoopView& loop, LoopState& slot) const override;
    std::optional<std::uint64_t> seq(const LoopView& loop) const override;
    bool sleeps(const LoopView&) const override { return false; }  // nothing wakes us when it goes on
    bool saw_begin(const LoopView&, const LoopState& slot) const override { return slot.start != 0; }
    std::vector<int> tiers() const override;
    const std::set<std::string>& probes() const noexcept override { return probes_; }

    std::optional<DispatchBundle> stall(const OverdueDispatch& overdue, DispatchBook& book,
                                        const Observe& observe) override;
    std::uint64_t records_lost() const override { return ring_.counts().lost; }
    bool loses_ends() const noexcept override { return true; }
    bool scheduler_seen() const noexcept override { return false; }
    Iterations iterations_of(DispatchFacts facts) override;
    bool may_part(const DispatchBundle& bundle) const override;
    std::optional<std::vector<DispatchBundle>> parts_of(const DispatchBundle& bundle) const override;
    bool had_loops() const override { return ring_.counts().loops != 0; }

    Result<void> refresh() override;
    // Takes files that have been read by now.
    void go_on(std::uint64_t now_ns);
    // When to do so next; 0: nothing is being read.
    std::uint64_t next_ns(std::uint64_t now_ns) const;
    // Its records are to wait: what they are named by is being read.
    bool holds_back(std::uint64_t now_ns) const;
    // Lanes that loops have claimed or left since.
    void look(std::uint64_t now_ns);
    // As ShimRing::drain, with what this process may say of itself and no more.
    bool drain(std::size_t most, const std::function<void(const Event&)>& handle);
    // Where a thread waits: is it its loop's own business? If so the shim is told.
    void on(const ShimWaitEvent& event) override;
    void on(const LoopStartedEvent& event) override;
    void remove_loop(std::uint32_t tid, std::uint64_t loop_id) override;
    // Once it has ended, and its ring is read: warns if statistics of a loop are missing.
    void check_statistics();
    ShimRing::Counts counts() const;

    // Threads that waited for events too few times to be known as loops, and were busy for long: how many, and how
    // often.
    struct Unproven {
        std::uint64_t threads = 0, held = 0;
    };
    Unproven unproven() const;

private:
    struct Candidate {
        std::uint32_t held = 0, held_before = 0;  // before the interval that goes on
        std::uint64_t busy_since_ns = 0, busy_ns = 0;
    };
    struct Taken {
        std::uint32_t registrations = 0, tid = 0;
        std::uint64_t loop_id = 0;  // 0: not known
    };
    ShimTarget(Process process, ShimRing ring, SymbolWorker& worker, const Thresholds& thresholds);
    std::uint32_t outer_tid(std::uint32_t ns_tid);
    void leave(std::size_t lane);
    void forget_left();
    std::optional<LoopView> view(const ShimLane& lane, std::uint32_t tid);
    bool knew_of(const LoopStartedEvent& event);
    bool look_if_replaced();
    void read_files(std::uint64_t now_ns);
    Result<void> use(MappedFiles files);
    void scan_program(const Fd& file);
    void look_at_candidate(const ShimLane& lane);
    void note_first_wait(std::uint64_t at_ns);
    std::optional<std::size_t> lane_of(std::uint32_t tid) const;
    // A call from there is a wait of the loop's own, as has turned out by now.
    bool idles_at(std::uint32_t tid, std::uint64_t caller) const { return idle_.contains({tid, caller}); }
    // Short ones of a dispatch that goes on.
    std::vector<CallEvent> calls_so_far(const LoopView& loop, std::uint64_t seq);
    // The call in which dispatch `seq` of a loop is, as if it ended now.
    std::optional<CallEvent> ongoing(const LoopView& loop, std::uint64_t seq, std::uint64_t now_ns) const;
    std::optional<Event> as_own(Event event);

    ShimRing ring_;
    SymbolWorker& worker_;
    std::map<std::size_t, Taken> taken_;                                     // by lane
    std::map<std::pair<std::size_t, std::uint32_t>, Candidate> candidates_;  // by lane and tid in its namespace
    std::vector<Taken> left_;                                                // known until the next look
    std::set<std::pair<std::uint32_t, std::uint64_t>>
        stopped_;                                             // of those known, by tid and id: statistics are reported
    std::map<std::uint32_t, std::uint32_t> outer_;            // by tid in its namespace; only if it is another one
    std::shared_ptr<WaitSites> sites_;                        // shared: an answer that comes after the end finds nobody
    std::set<std::pair<std::uint32_t, std::uint64_t>> idle_;  // parks, by tid and who calls
    std::uint64_t modules_hash_ = 0, strange_ = 0;
    std::future<Result<MappedFiles>> reading_files_;
    std::uint64_t met_ns_ = 0, reading_since_ns_ = 0;
    bool is_open_ = false, is_scanning_ = false;
    bool reads_again_ = false;  // what was asked for while files were being read
    bool was_born_ = false;     // a loop, since files were read
    bool has_waited_ = false;   // its first thread, for events
    bool carries_runtime_ = false, blind_ = false, unarmed_ = false, hanging_ = false, sandboxed_ = false;
    std::set<std::string> probes_;
};

}  // namespace loopwatch
