// SPDX-License-Identifier: Apache-2.0
//
// Kernel: the BPF side as an object with a life cycle: open (load, attach the scheduler's view) → watch a module's
// probes, enter loops → drain events → counters → destroy (detaches everything; nothing is ever pinned).
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collect/attach.hpp"
#include "collect/event.hpp"
#include "collect/probe_table.hpp"
#include "collect/thresholds.hpp"
#include "collect/trap_cost.hpp"
#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

class UnprobedLoops;

struct KernelOptions {
    Thresholds least;              // of all targets
    std::uint32_t max_loops = 64;  // 4 KiB of kernel memory each, and up to 256 of them 4 x 38 KiB
    std::uint32_t max_stacks = 0;  // of all loops at a time, 38 KiB each; 0: enough for what is blocked most likely
    bool kernel_stacks = false;
    // Of a system call: 1 + which of its first two arguments is a path, 0: none.
    std::function<std::uint8_t(std::size_t syscall)> path_argument;
    bool report_children = false;  // though they are not to be watched
    bool follow_children = false;
    std::string name;        // processes of it are reported when they begin; empty: none
    bool all_execs = false;  // all processes are reported when they execute a program
    bool trace = false;      // 8 KiB more a loop
    bool coroutines = false;
    bool debug = false;  // 9.5 MiB more
    AttachRung rung = AttachRung::multi;
};

// A probe site the collector has checked.
struct CheckedSite {
    std::uint32_t probe;  // id in probes.def
    std::uint64_t offset, semaphore_offset;
};

struct CoroutineBody {
    std::uint64_t offset;  // in its file
    bool stepped;          // takes a second trap
};

// Probes that may be hit all the time: --trace, --coroutines, and of --debug the throws of exceptions.
enum class Frequent { trace, coroutines, throws };
inline constexpr std::size_t frequent_kinds = 3;

class Kernel {
public:
    static Result<std::unique_ptr<Kernel>> open(const KernelOptions& options);
    ~Kernel();
    Kernel(const Kernel&) = delete;
    Kernel& operator=(const Kernel&) = delete;

    // From here on probes of this process are heard (perf_all hears every process). Of one that is admitted already,
    // these thresholds are what counts from now on. Below those of KernelOptions nothing is reported.
    Result<void> admit(pid_t pid, const Thresholds& thresholds);
    // And of this one no more: all that the kernel side keeps of it is dropped, its loops too. What is known of a loop
    // without probes can be read until another one takes its room.
    void dismiss(pid_t pid);
    // Sites of one gate, all in one file.
    Result<std::vector<Link>> attach_sites(ProbeGate gate, pid_t pid, int file, const std::vector<CheckedSite>& sites);
    // Bodies of coroutines in one file.
    Result<std::vector<Link>> attach_coroutines(pid_t pid, int file, const std::vector<CoroutineBody>& bodies);
    // Where libstdc++ throws, with `debug`; `offset` is in the file.
    Result<std::vector<Link>> attach_throw(pid_t pid, int file, std::uint64_t offset);
    // What hits of frequent probes cost here.
    const TrapCost& trap_cost() const noexcept { return trap_cost_; }
    // Enters a loop that ran before the attach; nothing happens if it is known. Beyond max_loops it is a loss.
    void enter_loop(pid_t pid, std::uint32_t tid, std::uint64_t slot, std::uint64_t loop_id);
    // A loop that is not looked at for lack of room elsewhere.
    void count_untracked();
    // Loops of programs without probes.
    UnprobedLoops& unprobed();
    // Starts sampling the CPU of a thread, once a period, until the descriptor is closed.
    Result<Fd> sample(std::uint32_t tid, std::uint64_t period_ns);

    // Of a loop thread; nullopt if it is not known, or is in a hurry: it went on while it was looked at, four times.
    std::optional<OngoingDispatch> ongoing(std::uint32_t tid) const;

    int ring_descriptor() const;
    // Hands over at most `budget` records; true if more may wait.
    bool drain(std::size_t budget, const std::function<void(const Event&)>& handle);
    // Of all records so far, and as much as can wait at a time.
    std::uint64_t drained_bytes() const;
    std::uint64_t ring_bytes() const;
    // What traced steps are still on their way to the ring: to be called once the trace probes are detached.
    void drain_batches(const std::function<void(const Event&)>& handle);
    void set_watchdog_asleep(bool asleep);

    std::map<std::string, std::uint64_t> losses() const;  // exact, by name; those that are zero included
    // Runs of our programs and what they cost: runs × the cost measured by calibrate(), else a typical figure.
    struct Cost {
        std::uint64_t runs = 0, ns = 0;
        std::uint64_t map_bytes = 0;  // kernel memory
        // What the traps of frequent probes cost the targets, beside our programs.
        std::array<std::uint64_t, frequent_kinds> traps_ns = {};
        std::uint64_t& traps_of(Frequent kind) { return traps_ns[static_cast<std::size_t>(kind)]; }
    };
    Cost cost() const;
    // Permanent BPF statistics would tax every program of the host: switched on for a moment, off by
    // finish_calibration().
    void start_calibration();
    void finish_calibration();
    AttachRung rung() const noexcept { return rung_; }

private:
    Kernel();
    struct Parts;
    std::unique_ptr<Parts> parts_;
    AttachRung rung_ = AttachRung::multi;
    TrapCost trap_cost_;
};

}  // namespace loopwatch
