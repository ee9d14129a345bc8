// SPDX-License-Identifier: Apache-2.0
#include "resolve/strangers.hpp"

#include <algorithm>

namespace loopwatch {

bool Strangers::known(std::uint32_t pid, std::uint32_t watched, SymbolWorker& worker)
{
    if (pid == watched) return true;
    const auto same = [&](const Process& process) { return static_cast<std::uint32_t>(process.pid()) == pid; };
    if (const auto found = std::ranges::find_if(kept_, same); found != kept_.end()) {
        if (found->alive() && !found->replaced()) return true;
        kept_.erase(found);
    }
    // One that has ended by now, a child that was waited for, keeps its stack without names.
    auto process = Process::open(static_cast<pid_t>(pid));
    if (!process) return false;
    auto modules = process->modules();
    if (!modules || !worker.map_process(pid, std::move(*modules))) return false;
    if (kept_.size() >= max_kept) {
        (void)worker.map_process(static_cast<std::uint32_t>(kept_.front().pid()), {});
        kept_.pop_front();
    }
    kept_.push_back(std::move(*process));
    return true;
}

}  // namespace loopwatch
