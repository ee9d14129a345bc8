// SPDX-License-Identifier: Apache-2.0
//
// NewImages: processes that were watched and run another program since execve(2), until that has loaded its libraries:
// its code is the same as a moment before. Attached to sooner, a program whose probes are in a library would be taken
// for one without. Where its threads wait meanwhile is kept: its loop may be in its first callback by then.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "collect/event.hpp"
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
        image.hash = 0;
    }
    void on(const WaitEvent& event)
    {
        const auto image = loading_.find(static_cast<pid_t>(event.head.pid));
        if (image != loading_.end() && image->second.waits.size() < most_waits) image->second.waits.push_back(event);
    }
    bool empty() const noexcept { return loading_.empty(); }
    bool full() const noexcept { return loading_.size() >= 32; }
    bool contains(pid_t pid) const { return loading_.contains(pid); }
    // When to look again; 0: none is loading.
    std::uint64_t next_ns() const
    {
        std::uint64_t next_ns = 0;
        for (const auto& [pid, image] : loading_) next_ns = next_ns ? std::min(next_ns, image.due_ns) : image.due_ns;
        return next_ns;
    }
    // Those that have loaded their libraries, or have ended.
    std::vector<Loaded> take_loaded(std::uint64_t now_ns)
    {
        std::vector<Loaded> loaded;
        for (auto& [pid, image] : loading_) {
            if (now_ns < image.due_ns) continue;
            const auto hash = modules_hash(pid);
            if (hash == image.hash || hash == 0 || now_ns >= image.until_ns)
                loaded.push_back({pid, std::move(image.waits)});
            image.hash = hash;
            image.due_ns = now_ns + look_ns;
        }
        for (const auto& image : loaded) loading_.erase(image.pid);
        return loaded;
    }

private:
    struct Image {
        std::uint64_t due_ns = 0, until_ns = 0;
        std::uint64_t hash = 0;  // of its modules, when they were looked at last
        std::vector<WaitEvent> waits;
    };
    std::map<pid_t, Image> loading_;
};

}  // namespace loopwatch
