// SPDX-License-Identifier: Apache-2.0
//
// NewImages: processes that are to be attached to (children, and what has become another program by execve(2)), until
// they have loaded their libraries, so that their code is the same as a moment before, and these have been read.
// Attached to sooner, a program whose probes are in a library would be taken for one without. Where their threads wait
// meanwhile is kept: a loop may be in its first callback by then.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "collect/event.hpp"
#include "stack/symbol_worker.hpp"
#include "target/process.hpp"

namespace loopwatch {

class NewImages {
public:
    // A small program is loaded within 2 ms, one with 60 libraries within 30.
    static constexpr std::uint64_t look_ns = 4'000'000, most_ns = 200'000'000;
    static constexpr std::size_t most_waits = 8;  // of an image, each with a stack of up to 32 KiB

    struct Loaded {
        pid_t pid;
        std::vector<WaitEvent> waits;  // of its threads so far
    };

    void begun(pid_t pid, std::uint64_t now_ns)
    {
        auto& image = loading_[pid];
        image.due_ns = now_ns + look_ns;
        image.until_ns = now_ns + most_ns;
        image.hash = image.asked = 0;
    }
    void on(const WaitEvent& event)
    {
        const auto image = loading_.find(static_cast<pid_t>(event.head.pid));
        if (image != loading_.end() && image->second.waits.size() < most_waits) image->second.waits.push_back(event);
    }
    bool empty() const noexcept { return loading_.empty(); }
    bool full() const noexcept { return loading_.size() >= 32; }
    bool contains(pid_t pid) const { return loading_.contains(pid); }
    // When to look again; 0: when the worker has answered, or none is loading.
    std::uint64_t next_ns() const
    {
        std::uint64_t next_ns = 0;
        for (const auto& [pid, image] : loading_)
            if (image.due_ns) next_ns = next_ns ? std::min(next_ns, image.due_ns) : image.due_ns;
        return next_ns;
    }
    // Those that have loaded their libraries, and `worker` has read them, which it is asked to by `read` once they
    // `may_come`; or have ended.
    std::vector<Loaded> take_loaded(std::uint64_t now_ns, const SymbolWorker& worker,
                                    const std::function<bool(pid_t)>& may_come, const std::function<void(pid_t)>& read)
    {
        std::vector<Loaded> loaded;
        for (auto& [pid, image] : loading_) {
            if (image.asked != 0) {
                if (worker.answered(image.asked)) loaded.push_back({pid, std::move(image.waits)});
                continue;
            }
            if (now_ns < image.due_ns) continue;
            const auto hash = modules_hash(pid);
            const bool is_loaded = hash == image.hash || hash == 0 || now_ns >= image.until_ns;
            image.hash = hash;
            image.due_ns = now_ns + look_ns;
            if (!is_loaded || !may_come(pid)) continue;
            read(pid);
            image.asked = worker.asked();
            image.due_ns = 0;  // the answer wakes us
            if (worker.answered(image.asked)) loaded.push_back({pid, std::move(image.waits)});
        }
        for (const auto& image : loaded) loading_.erase(image.pid);
        return loaded;
    }

private:
    struct Image {
        std::uint64_t due_ns = 0, until_ns = 0;
        std::uint64_t asked = 0;  // of the worker, when it was to read the modules; 0: not yet
        std::uint64_t hash = 0;   // of its modules, when they were looked at last
        std::vector<WaitEvent> waits;
    };
    std::map<pid_t, Image> loading_;
};

}  // namespace loopwatch
