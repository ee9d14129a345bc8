// SPDX-License-Identifier: Apache-2.0
//
// NewImages: processes that are to be attached to, until that takes no waiting: those at the session's start, children,
// what has become another program by execve(2). Each loads its libraries, so that its code is the same as a moment
// before (attached to sooner, a program whose probes are in a library would be taken for one without), has its files
// opened, beside the engine, and scanned, by the worker. Where its threads wait meanwhile is kept: a loop may be in its
// first callback by then.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <future>
#include <map>
#include <optional>
#include <vector>

#include "attach/mapped_files.hpp"
#include "collect/event.hpp"
#include "stack/symbol_worker.hpp"

namespace loopwatch {

class NewImages {
public:
    // A small program is loaded within 2 ms, one with 60 libraries within 30.
    static constexpr std::uint64_t look_ns = 4'000'000, most_ns = 200'000'000;
    static constexpr std::uint64_t look_beside_ns = 1'000'000;
    static constexpr unsigned max_rounds = 3;  // of asking for scans
    static constexpr std::uint64_t soon_opened_ns = 1'000'000'000;
    static constexpr std::size_t most_waits = 8;  // of an image, each with a stack of up to 32 KiB

    // One that may be attached to now, or cannot be.
    struct Ready {
        pid_t pid;
        Result<OpenedProcess> process;
        std::vector<WaitEvent> waits;  // of its threads so far
        bool has_begun = false;        // a moment ago
    };

    // It has begun to load its libraries.
    void begun(pid_t pid, std::uint64_t now_ns);
    // It has run for a while.
    void found(pid_t pid, std::uint64_t now_ns);
    void on(const WaitEvent& event);
    void forget(pid_t pid) { images_.erase(pid); }
    bool empty() const noexcept { return images_.empty(); }
    // Are there others than those whose files have not been opened for a second?
    bool are_coming(std::uint64_t now_ns) const;
    bool full() const noexcept { return images_.size() >= 32; }
    bool contains(pid_t pid) const { return images_.contains(pid); }
    // When to look again; 0: when the worker has answered, or there is none.
    std::uint64_t next_ns() const;
    // None is opened before it `may_come`.
    std::vector<Ready> take_ready(std::uint64_t now_ns, SymbolWorker& worker, ScanOptions options,
                                  const std::function<bool(pid_t)>& may_come);

private:
    enum class Stage { loading, opening, scanning };
    struct Image {
        Stage stage = Stage::loading;
        bool has_begun = true;
        std::uint64_t due_ns = 0, until_ns = 0;
        std::uint64_t hash = 0;  // of its modules, when they were looked at last
        std::future<std::uint64_t> looking;
        std::future<Result<OpenedProcess>> opening;
        bool is_superseded = false;  // what is being opened is another image: one thread a process, at most
        std::optional<Result<OpenedProcess>> opened;
        std::uint64_t asked = 0;  // of the worker, when it was to scan the files
        unsigned rounds = 0;
        std::vector<WaitEvent> waits;
    };
    static bool load(pid_t pid, Image& image, std::uint64_t now_ns);
    static bool open(pid_t pid, Image& image, std::uint64_t now_ns);
    static bool scan(Image& image, SymbolWorker& worker, ScanOptions options);

    std::map<pid_t, Image> images_;
};

}  // namespace loopwatch
