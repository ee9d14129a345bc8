// SPDX-License-Identifier: Apache-2.0
//
// What is known of one dispatch when it has ended, before anybody explains it: the input of explain(). Filled by the
// session from the kernel's records, with stacks unwound and descriptors looked up. Plain data, times CLOCK_MONOTONIC
// ns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analysis/finding.hpp"
#include "collect/thresholds.hpp"

namespace loopwatch {

// One place in which the thread slept of its own accord, as the scheduler saw it.
struct BlockFacts {
    std::int64_t syscall = -1;  // x86-64 number; -1: none, so a page fault
    std::uint64_t args[6] = {};
    std::uint64_t ip = 0, sp = 0;  // of the code that made the call
    std::uint32_t task_state = 0;  // 1 interruptible, 2 uninterruptible …
    std::uint64_t total_ns = 0;
    std::uint64_t longest_ns = 0;
    std::uint64_t count = 0;
    std::uint64_t last_start_ns = 0, last_end_ns = 0;
    // What the descriptor of fd_argument() (calls.hpp) is, readlink of /proc/PID/fd/N: "/var/lib/x.db", "pipe:[123]",
    // "socket:[…]"; "fifo:/path" for a named pipe; empty: unknown.
    std::string fd_target;
    std::string peer;  // address of the socket's other end, if known
    std::string path;  // what the call names, as the target wrote it; of path_argument() (calls.hpp)
    std::vector<Frame> stack;
    std::vector<Frame> kernel_stack;
    std::optional<Waker> waker;
    WokenBy woken_by = WokenBy::unknown;
};

// One block of at least the block threshold: becomes a blocking_call.
struct SingleBlock {
    std::size_t place = 0;  // index into DispatchFacts::blocks_by_place: stack, syscall and arguments are that place's
    std::uint64_t start_ns = 0, end_ns = 0;
    std::optional<Waker> waker;
    WokenBy woken_by = WokenBy::unknown;
};

// One libc call as the shim timed it.
struct CallFacts {
    std::string call;
    std::uint64_t start_ns = 0, end_ns = 0;
    std::uint64_t more = 0, more_ns = 0, more_longest_ns = 0;  // of the same place, known in sum
    std::int32_t fd = -1;
    std::uint64_t arg = 0;
    std::string text;  // path, host, command
    std::string fd_target;
    std::string peer;
    std::vector<Frame> stack;  // of who called
};

struct SampleFacts {
    std::vector<Frame> stack;
    std::uint64_t at_ns = 0;
    std::uint64_t weight_ns = 1;  // CPU time that it stands for
};

// A coroutine's resume that part of an iteration began with, in a program that knows nothing of us.
struct ResumeFacts {
    std::uint64_t frame = 0;  // address of the coroutine's frame
    std::uint64_t sp = 0;     // at the entry of its body
    std::vector<Frame> body;  // where that is
};

// A wait, or several in a row, within what was taken for one iteration, in a place that the loop may idle in.
struct ParkFacts {
    std::uint64_t since_ns = 0, left_ns = 0;
    std::uint64_t ip = 0, sp = 0, object = 0;
    std::uint32_t syscall = 0;
};

// No stack has frames of our shim.
struct DispatchFacts {
    Subject subject;
    LoopInfo loop;
    std::optional<TaskInfo> task;
    std::uint64_t seq = 0;
    std::uint64_t start_ns = 0, end_ns = 0;
    Thresholds thresholds;              // of its target
    bool iteration = false;             // of a loop whose dispatches are not seen
    std::uint64_t dispatches = 0;       // of an iteration whose dispatches are seen: none of them was slow
    std::vector<TaskShare> tasks;       // and whose they were
    std::optional<ResumeFacts> resume;  // what a part of one began with; no iteration if that was its doing
    std::uint64_t blocked_ns = 0, runq_ns = 0, throttled_ns = 0, stopped_ns = 0;
    std::optional<Waker> preemptor;      // who had the CPU longest while it waited for one,
    std::uint64_t preemptor_ns = 0;      // how long at least,
    std::uint64_t preemptors_ns = 0;     // and all that were seen to have it
    std::uint64_t longest_runq_ns = 0;   // longest of these waits
    std::uint64_t unseen_ns = 0;         // before the session could see it: on the CPU or asleep, nobody knows
    std::uint64_t other_blocked_ns = 0;  // part of blocked_ns for which no place was kept
    std::uint64_t blocks = 0, preemptions = 0;
    bool slow = false;  // the kernel side says: reached the threshold
    bool scheduler_seen =
        true;  // false: the shim alone is there, so blocked_ns, runq_ns and stopped_ns are unknown, not 0
    bool in_progress = false;         // the dispatch goes on: all of this is as of end_ns
    bool last = false;                // its thread began no other after it
    bool start_known = true;          // false: start_ns is when it was first seen
    bool end_known = true;            // false: end_ns is when it was seen to be over
    std::uint64_t unrecorded_ns = 0;  // calls of which only the sum is known; with the scheduler seen, part of the rest
    bool calls_missing = false;       // more may have been lost
    bool unclear = false;  // it may be several: the thread waited where the kernel side had no room for the place
    bool complete = true;  // false: the dispatch never ended (the target died); only its blocking calls are reported
    std::vector<ParkFacts> parks;  // in their order
    std::vector<BlockFacts> blocks_by_place;
    std::vector<SingleBlock> long_blocks;
    std::vector<CallFacts> calls;
    std::vector<SampleFacts> samples;
    std::optional<Impact> impact;  // null: not known

    // Where it was; null if that is not known. Places and blocks are joined by a sequence number in the target's
    // memory, so that the one list may be of another dispatch than the other.
    const BlockFacts* place_of(const SingleBlock& block) const
    {
        return block.place < blocks_by_place.size() ? &blocks_by_place[block.place] : nullptr;
    }
    BlockFacts* place_of(const SingleBlock& block)
    {
        return const_cast<BlockFacts*>(std::as_const(*this).place_of(block));
    }
};

// About what they take on the heap, and a dispatch's facts in all.
std::size_t bytes_of(const std::vector<Frame>& frames);
std::size_t bytes_of(const DispatchFacts& facts);

}  // namespace loopwatch
