// SPDX-License-Identifier: Apache-2.0
//
// NewImages: processes that were watched and run another program since execve(2), until that has loaded its libraries:
// its code is the same as a moment before. Attached to sooner, a program whose probes are in a library would be taken
// for one without.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "target/process.hpp"

namespace loopwatch {

class NewImages {
public:
    // A small program is loaded within 2 ms, one with 60 libraries within 30.
    static constexpr std::uint64_t look_ns = 4'000'000, most_ns = 200'000'000;

    void begun(pid_t pid, std::uint64_t now_ns) { loading_[pid] = {now_ns + look_ns, now_ns + most_ns, 0}; }
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
    std::vector<pid_t> take_loaded(std::uint64_t now_ns)
    {
        std::vector<pid_t> loaded;
        for (auto& [pid, image] : loading_) {
            if (now_ns < image.due_ns) continue;
            const auto hash = modules_hash(pid);
            if (hash == image.hash || hash == 0 || now_ns >= image.until_ns) loaded.push_back(pid);
            image.hash = hash;
            image.due_ns = now_ns + look_ns;
        }
        for (const auto pid : loaded) loading_.erase(pid);
        return loaded;
    }

private:
    struct Image {
        std::uint64_t due_ns, until_ns;
        std::uint64_t hash;  // of its modules, when they were looked at last
    };
    std::map<pid_t, Image> loading_;
};

}  // namespace loopwatch
