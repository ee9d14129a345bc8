// SPDX-License-Identifier: Apache-2.0
//
// The reader's side of lw_ring.h: what the shim of one process tells where there is no kernel side. The file is the
// process's, so every number in it may be a lie: positions, sizes and texts are checked, what is wrong is counted and
// skipped.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <lw_ring.h>

#include "collect/event.hpp"
#include "util/fd.hpp"
#include "util/result.hpp"

namespace loopwatch {

// The environment variable that `loopwatch run` sets for the shim:
// PID:THRESHOLD_NS:BLOCK_THRESHOLD_NS:NAMESPACE:DIRECTORY.
inline constexpr const char* run_variable = LW_RUN_VARIABLE;

// What a file in the directory of rings is, by its name: a ring; one that is not ready; the mark of a child that is not
// watched, or of a process whose PID namespace is not ours.
enum class RingName { ring, draft, unwatched_child, child_elsewhere };
RingName ring_name(std::string_view path);

// A loop's thread as the ring knows it.
struct ShimLane {
    std::size_t index = 0;
    std::uint32_t tid = 0;            // in the process's own PID namespace
    std::uint32_t registrations = 0;  // another number: another loop
    std::uint64_t slot = 0;           // its address in the process; 0: read_own_slot()
    bool candidate = false;           // not known to run a loop
    std::uint32_t held = 0;           // findings of a candidate, which is not to have any
};

// A call that goes on.
struct OngoingCall {
    std::uint64_t start_ns = 0, caller = 0;
    BoundedText<32> call;
    Registers registers;  // of the frame that measures, which stays where it is until the call returns
};

class ShimRing {
public:
    struct Counts {
        std::uint64_t lost = 0;             // records for which a lane had no room
        std::uint64_t stacks_left_out = 0;  // of records
        std::uint64_t lanes_refused = 0;    // loops for which there was no lane
        std::uint64_t corrupt = 0;          // what lanes say about themselves is not so
        std::uint64_t calls = 0;            // measured
        std::uint64_t loops = 0;            // that have had a lane, however short they lived
        Counts& operator+=(const Counts& more);
    };

    // Fails with `failed` if it is no ring, or one of another version.
    static Result<ShimRing> open(const std::string& path);

    // In its own PID namespace.
    std::uint32_t pid() const noexcept { return pid_; }
    // Which image of the process made it, for runs_image(), and its name; 0: not known.
    std::uint64_t image() const noexcept { return image_; }
    const std::string& name() const noexcept { return name_; }
    // Looks at all lanes; those that somebody has.
    std::vector<ShimLane> look();
    // Records since the last time, at most `most`, oldest first within a lane; false: there may be more.
    bool drain(std::size_t most, const std::function<void(const Event&)>& handle);
    // What will be told of the dispatch that goes on if it turns out to be slow.
    void read_draft(std::size_t lane, const std::function<void(const Event&)>& handle);
    // Lets the lane's thread know that its loop waits on a lock here: who calls, and with which frame.
    void let_idle(std::size_t lane, std::uint64_t ip, std::uint64_t frame);
    std::optional<LoopState> read_own_slot(std::size_t lane) const;
    // What the slot of the lane's loop held when its process ran its exit handlers; none: it did not, or not yet.
    std::optional<LoopState> read_slot_at_exit(std::size_t lane) const;
    // The call in which dispatch `seq` is right now.
    std::optional<OngoingCall> ongoing(std::size_t lane, std::uint64_t seq) const;
    // A call that the shim made itself did not pass through its wrapper: nor do the program's.
    bool bypassed() const;
    // Has the process a seccomp filter of its own?
    bool sandboxed() const;
    Counts counts() const;

private:
    explicit ShimRing(Fd file, std::uint32_t pid) : file_(std::move(file)), pid_(pid), tails_(LW_LANES) {}
    template <class T>
    bool read(T& to, std::uint64_t offset) const;
    std::optional<std::uint64_t> walk(std::size_t index, std::uint64_t at, std::uint64_t end, std::size_t& most,
                                      const std::function<void(const Event&)>& handle);
    bool drain_lane(std::size_t index, std::size_t& most, const std::function<void(const Event&)>& handle);
    void set_tail(std::size_t index, std::uint64_t tail);

    Fd file_;
    std::uint32_t pid_ = 0;
    std::uint64_t image_ = 0;
    std::string name_;
    std::vector<lw_lane> lanes_;
    std::vector<std::uint64_t> tails_;  // ours: what stands in the file may be anything
    std::vector<std::uint8_t> record_;
    std::uint64_t corrupt_ = 0;
};

}  // namespace loopwatch
