// SPDX-License-Identifier: Apache-2.0
#include "target/descendants.hpp"

#include <dirent.h>

#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>
#include <string_view>

#include "target/process.hpp"

namespace loopwatch {

namespace {

constexpr std::size_t max_descendants = 4096;

// Field 4 of /proc/PID/stat, behind a name that may hold anything.
pid_t parent_of(pid_t pid)
{
    const auto text = read_proc(pid, "stat", 4096).value_or("");
    const auto close = text.rfind(')');
    if (close == std::string::npos || close + 4 > text.size()) return 0;
    return static_cast<pid_t>(std::strtol(text.c_str() + close + 4, nullptr, 10));
}

}  // namespace

std::vector<pid_t> descendants(pid_t pid)
{
    std::multimap<pid_t, pid_t> children;
    const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
    while (const dirent* entry = proc ? ::readdir(proc.get()) : nullptr) {
        pid_t child = 0;
        const std::string_view name = entry->d_name;
        if (std::from_chars(name.data(), name.data() + name.size(), child).ec != std::errc()) continue;
        if (const auto parent = parent_of(child)) children.emplace(parent, child);
    }
    std::vector<pid_t> found = {pid};
    for (std::size_t i = 0; i < found.size() && found.size() < max_descendants; ++i) {
        const auto [first, last] = children.equal_range(found[i]);
        for (auto child = first; child != last; ++child) found.push_back(child->second);
    }
    found.erase(found.begin());
    return found;
}

}  // namespace loopwatch
