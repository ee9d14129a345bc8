// SPDX-License-Identifier: Apache-2.0
//
// What was observed of a target: by the kernel side, by the shim, or by a look from outside. The wire format
// (bpf/lw_event.h, lw_state.h) ends where these are made: their counts and texts are within their bounds. Times are
// CLOCK_MONOTONIC, pid and tid are those of our PID namespace, addresses are the target's.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "target/loop_state.hpp"
#include "target/tasks.hpp"
#include "util/bounded.hpp"

namespace loopwatch {

inline constexpr std::size_t max_places = 4;  // LW_SOURCES: distinct blocking places that are kept per dispatch

// Of which thread and dispatch, and when.
struct EventHead {
    std::uint64_t time_ns = 0;
    std::uint32_t pid = 0, tid = 0;
    std::uint64_t loop_id = 0;
    std::uint64_t seq = 0;  // of the dispatch (odd), 0 outside of one
};

// x86-64 registers in the order of DWARF's numbering.
struct Registers {
    static constexpr std::size_t sp_index = 7, pc_index = 16;
    std::array<std::uint64_t, 17> dwarf = {};

    std::uint64_t sp() const noexcept { return dwarf[sp_index]; }
    std::uint64_t pc() const noexcept { return dwarf[pc_index]; }
};

struct RawStack {
    static constexpr std::size_t max_bytes = 32'768;    // LW_STACK_BYTES
    static constexpr std::uint64_t above_loop = 2'048;  // LW_ABOVE_LOOP: copied above the loop function's frame

    Registers registers;
    std::uint64_t base = 0;  // address of the first byte
    bool truncated = false;  // the copy ends below the loop's frame
    std::vector<std::uint8_t> bytes;
};

// A task as it was while it ran.
struct TaskSnapshot {
    static constexpr std::size_t max_frames = 8;  // LW_CHAIN

    std::uint64_t id = 0;  // 0: none, or unreadable
    std::uint64_t parent_id = 0, created_at = 0;
    TaskState state = TaskState::created;
    BoundedList<TaskFrame, max_frames> frames;  // innermost first
    BoundedText<64> name;
    BoundedText<128> labels;  // a line "key=value" each
};

// A process that had the CPU while a loop's thread waited for it.
struct RawPreemptor {
    std::uint32_t pid = 0, tid = 0;
    BoundedText<16> comm;
    std::uint64_t had_ns = 0;
};

// A thread's waits for a CPU.
struct Contention {
    std::uint64_t longest_ns = 0;
    BoundedList<RawPreemptor, 4> preemptors;  // those that had it longest, more or less
};

// Who was on the CPU when a block was ended. An empty stack: not seen; thread 0: an idle CPU.
struct RawWaker {
    std::uint32_t pid = 0, tid = 0;
    BoundedText<16> comm;
    std::uint64_t runq_ns = 0;  // part of the block for which the waker, a loop itself, waited for a CPU
    BoundedList<std::uint64_t, 16> kernel_stack;
};

// The file behind the first argument of a blocking call, as it was then.
struct SeenFile {
    std::uint32_t mode = 0;  // st_mode; 0: no descriptor
    std::uint64_t inode = 0;
    bool given = false;     // `path` is the text that the call was given
    BoundedText<248> path;  // else within its filesystem, its innermost parts; empty: not known
};

// One entry into a coroutine's body, of a program without probes.
struct CoroutineResume {
    std::uint64_t frame = 0;     // address of the coroutine's frame; 0: none
    std::uint64_t function = 0;  // of its body
    std::uint64_t sp = 0;
};

// Where the thread of a loop without a slot waited within an iteration, in a place that was not classified when the
// iteration ended.
struct UnsureWait {
    std::uint64_t since_ns = 0, left_ns = 0;
    std::uint64_t ip = 0, sp = 0, object = 0;
    std::uint32_t syscall = 0;
};

// A dispatch that was slow or held a long block has ended.
struct DispatchEvent {
    EventHead head;
    std::uint64_t start_ns = 0, end_ns = 0;  // start_ns <= end_ns, if it was decoded
    std::uint64_t resume = 0;                // address of a location
    std::uint64_t blocked_ns = 0, runq_ns = 0, throttled_ns = 0, stopped_ns = 0;
    std::uint32_t blocks = 0, preemptions = 0;
    bool slow = false;                   // reached the threshold
    bool unclear = false;                // may be several iterations: it passed a place for which there was no room
    std::uint64_t other_blocked_ns = 0;  // in places beyond max_places
    std::uint64_t unrecorded_ns = 0;     // from the shim: in calls for which its ring had no room
    std::uint64_t impact_tasks = 0, impact_max_ns = 0, impact_total_ns = 0;
    std::uint64_t entered_ns = 0, seen_ns = 0;  // what passed before `seen_ns` is not known; see struct lw_loop
    Contention contention;
    CoroutineResume coroutine;  // whose resume this part of an iteration began with
    BoundedList<UnsureWait, 4> waits;
    TaskSnapshot task;
};

// An iteration of many dispatches, none of them slow, has ended.
struct IterationEvent {
    EventHead head;  // seq: of its last dispatch
    std::uint64_t start_ns = 0, end_ns = 0;
    std::uint64_t dispatches = 0;
    std::uint64_t blocked_ns = 0, runq_ns = 0, throttled_ns = 0, stopped_ns = 0;
    std::uint64_t entered_ns = 0;
};

// A place in which a dispatch blocked.
struct SourceEvent {
    EventHead head;
    std::uint32_t index = 0;  // within the dispatch
    std::uint32_t count = 0;  // blocks summed so far
    std::uint64_t total_ns = 0, longest_ns = 0;
    std::int32_t syscall = -1;  // -1: none (page fault)
    std::uint32_t state = 0;    // kernel's state of the thread that slept
    std::array<std::uint64_t, 6> args = {};
    bool single = false;                                 // one block that just ended, as long as the block threshold
    std::uint64_t block_start_ns = 0, block_end_ns = 0;  // of the last block
    RawWaker waker;
    SeenFile file;
    BoundedList<std::uint64_t, 32> kernel_stack;
    TaskSnapshot task;
    RawStack stack;
};

// The CPU was found in an overdue dispatch.
struct SampleEvent {
    EventHead head;
    std::uint64_t stands_for_ns = 0;  // CPU time of its thread since the sample before
    TaskSnapshot task;
    RawStack stack;
};

// The shim timed a libc call.
struct CallEvent {
    EventHead head;
    std::uint64_t start_ns = 0, end_ns = 0;
    std::uint64_t caller = 0, arg = 0;
    std::int32_t fd = -1;
    std::uint32_t more = 0;  // short ones from the same place in the same dispatch, which are part of this one
    std::uint64_t more_ns = 0, more_longest_ns = 0;
    BoundedText<32> call;
    BoundedText<104> text;
    BoundedText<104> target;  // what `fd` was then; empty: not known
    TaskSnapshot task;
    RawStack stack;
};

// The stack of who ended a long block, before the SourceEvent that names it.
struct WakerEvent {
    EventHead head;  // the loop's
    std::uint32_t waker_tid = 0;
    RawStack stack;
};

// A system call that may be where a loop idles, about to be made or slept in, at a place that is not classified yet.
struct WaitEvent {
    EventHead head;
    std::int32_t syscall = -1;
    std::array<std::uint64_t, 6> args = {};
    std::vector<std::uint64_t> polled;  // descriptors that a poll or select waits for, as far as they were read
    RawStack stack;
};

// The same from the shim, which knows the place in the code that called libc.
struct ShimWaitEvent {
    EventHead head;
    std::int32_t syscall = -1;  // one that waits so
    std::uint64_t ip = 0, frame = 0, object = 0;
    RawStack stack;
};

// Where the exception was thrown that the next step of this time is about.
struct ThrownEvent {
    EventHead head;
    RawStack stack;
};

// Of a misuse, read while the target was at its probe.
struct Misuse {
    std::uint64_t in_task = 0;   // id of the task in whose dispatch it happened; 0: in none
    std::uint64_t location = 0;  // address of the first location that the probe names; 0: it names none
    std::uint64_t asked_ns = 0;  // when its task was first asked to stop; 0: not known
    std::uint32_t line = 0;
    BoundedText<80> file, function;
    BoundedList<std::uint64_t, 31> calls;  // return addresses of who opened or called it
    TaskSnapshot task;                     // whom it concerns
};

// A probe that is only reported. `head` has the step's own time.
struct StepEvent {
    EventHead head;
    std::uint32_t probe = 0;  // id in probes.def
    std::array<std::uint64_t, 4> args = {};
    BoundedText<64> text;  // name or reason, where the probe has one
    std::optional<Misuse> misuse;
};

struct LoopStartedEvent {
    EventHead head;
    std::uint64_t slot = 0;  // its address
    BoundedText<64> name;    // from the shim; empty: not known
};
struct LoopStoppedEvent {
    EventHead head;
    std::optional<LoopState> state;  // what it counted to the end, if that could be read
};
struct WakeEvent {  // a loop runs again while the watchdog sleeps
    EventHead head;
};
struct ChildEvent {  // a watched process has forked: pid is the child, tid its parent's pid
    EventHead head;
};
struct ExitEvent {  // a loop's thread ended without loop_stop
    EventHead head;
};
struct ExecEvent {  // a process runs another image
    EventHead head;
};
struct EndedEvent {  // a process ends
    EventHead head;
    int status = 0;  // as of wait(2)
};

using Event = std::variant<LoopStartedEvent, LoopStoppedEvent, DispatchEvent, IterationEvent, SourceEvent, SampleEvent,
                           CallEvent, StepEvent, WakerEvent, WaitEvent, ShimWaitEvent, ThrownEvent, WakeEvent,
                           ExitEvent, ChildEvent, ExecEvent, EndedEvent>;

// Why a thread is not on a CPU.
enum class OffCpu : std::uint32_t { running, blocked, preempted, stopped, idle };

// A dispatch as the scheduler sees it while it goes on: the sums are of what has ended.
struct OngoingDispatch {
    static constexpr std::uint32_t no_place = 0xffffffff;

    std::uint64_t seq = 0;
    OffCpu off = OffCpu::running;
    std::uint64_t off_ns = 0, wake_ns = 0;
    std::uint32_t place = no_place;  // of `places`, in which it is blocked
    std::uint64_t entered_ns = 0, seen_ns = 0;
    std::uint64_t blocked_ns = 0, runq_ns = 0, throttled_ns = 0, stopped_ns = 0, other_blocked_ns = 0;
    std::uint32_t blocks = 0, preemptions = 0;
    Contention contention;
    std::vector<SourceEvent> places;  // where it blocked so far, with its stack there
};

// Sums of a dispatch that are kept without a place.
struct TimeOff {
    std::uint64_t other_blocked_ns = 0, runq_ns = 0, throttled_ns = 0, stopped_ns = 0;
};

// A thread that sleeps, or ran when it was looked at: `state` 0.
struct SleepingThread {
    std::uint32_t tid = 0, state = 0;
    std::int32_t syscall = -1;   // -1: none
    std::uint64_t switches = 0;  // voluntary ones so far
    std::array<std::uint64_t, 6> args = {};
    Registers registers;
};

}  // namespace loopwatch
