// SPDX-License-Identifier: Apache-2.0
//
// The live tasks of a loop, read from outside while it runs. The list changes meanwhile and memory is used again, so
// each record is held against what led to it, and a step that leads astray is taken anew from the last record that
// still stands.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "target/memory.hpp"
#include "target/task_state.hpp"

struct lw_task;

namespace loopwatch {

// Of a coroutine: addresses of struct lw_location in the target; suspended_at 0: before its first co_await; bytes 0:
// not known.
struct TaskFrame {
    std::uint64_t created_at = 0, suspended_at = 0, bytes = 0;
};

// struct lw_awaited. Its name is a constant, or of what outlives the wait: an address, to be read when it is told (of
// 100,000 tasks each string more in here is 3 MiB).
struct AwaitedView {
    AwaitedKind kind = AwaitedKind::other;
    std::int32_t fd = -1;
    std::uint64_t value = 0, name = 0;
};

// What few tasks have.
struct TaskExtras {
    std::string cancel_reason, labels;
    std::uint64_t cancelled_ns = 0;   // first asked to stop, CLOCK_MONOTONIC; 0: never, or not known
    std::uint64_t created_stack = 0;  // struct lw_backtrace; 0: not in debug mode
};

struct TaskView {
    std::uint64_t id = 0, parent_id = 0, created_at = 0, awaits = 0, cancelled_by = 0;
    std::uint64_t created_ns = 0, resumes = 0, busy_ticks = 0;
    TaskState state = TaskState::created;
    std::uint32_t cancel_requests = 0;
    std::string name;
    std::shared_ptr<const TaskExtras> extras;  // null: none
    bool has_waited = false;                   // for a task or something else, if only in the past
    std::optional<AwaitedView> awaited;        // while it is suspended, for what is no task
    std::vector<TaskFrame> frames;             // innermost first
    bool is_deeper = false;                    // than max_frames: the outer ones are missing
};

struct TaskList {
    std::vector<TaskView> tasks;  // youngest first
    std::uint64_t retries = 0;    // steps that were taken anew
    std::uint64_t deeper = 0;     // tasks whose outer coroutines are missing
    std::string broken;           // why it ends early; empty: it is whole
    std::size_t bytes = 0;        // that `tasks` take, about
};

// The return addresses of a struct lw_backtrace, innermost first; empty: unreadable.
std::vector<std::uint64_t> read_backtrace(std::uint64_t address, const Memory& memory);

// Pages of a target, kept for a moment: tasks that were spawned one after the other lie side by side. A system call an
// object took 1.1 s of 100,000 tasks, this 0.4.
class PageCache {
public:
    explicit PageCache(const Memory& memory) : memory_(memory) {}
    bool read(std::uint64_t address, void* to, std::size_t bytes);
    std::string text(std::uint64_t address, std::size_t limit);
    void forget();

private:
    static constexpr std::uint64_t page_bytes = 4096;
    struct Page {
        std::uint64_t address = 0;
        char bytes[page_bytes];
    };
    const char* page(std::uint64_t address);

    const Memory& memory_;
    Page pages_[8] = {};
    unsigned next_ = 0;  // to give way
};

class TaskReader {
public:
    static constexpr std::size_t max_tasks = 1u << 20, max_frames = 64;
    // A target of 31 MiB can make 200,000 tasks that take 3 KiB each here. Honest ones take 300 bytes.
    static constexpr std::size_t max_bytes = 256u << 20;

    explicit TaskReader(const Memory& memory) : memory_(memory), pages_(memory) {}
    // `slot` is the address of the loop's.
    TaskList list(std::uint64_t slot, std::size_t most_bytes = max_bytes);

private:
    bool read_task(std::uint64_t address, std::uint64_t previous, lw_task& task);
    bool is_linked(const lw_task& task, std::uint64_t address, std::uint64_t slot) const;
    TaskView view(const lw_task& task);
    static std::size_t bytes_of(const TaskView& task);

    const Memory& memory_;
    PageCache pages_;
};

}  // namespace loopwatch
