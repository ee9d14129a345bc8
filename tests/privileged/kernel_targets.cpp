// SPDX-License-Identifier: Apache-2.0
//
// kernel_targets [--stacks N] PID THRESHOLD_MS [PID THRESHOLD_MS]…
//
// The kernel side with a threshold for each target, for blocks the same. Says "ready PID" (its own) once all loops are
// found; then, for each line:
//   count PID         "count SLOW BLOCKS": slow dispatches and long blocks of this target since it was last asked
//   limit PID MS      another threshold from now on: "limited"
//   loss NAME         "loss N": how often so far
//   dismiss PID       a target that is alive is not watched any more: "dismissed"
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <sstream>

#include "attach/attachment.hpp"
#include "util/wall_clock.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;

struct Seen {
    int slow = 0, blocks = 0;
};

template <class T>
T must(Result<T> result)
{
    if (result) return std::move(*result);
    std::cerr << result.error().what << "\n";
    std::_Exit(1);
}

class Session {
public:
    Session(std::map<pid_t, std::uint64_t> limits, KernelOptions options)
        : worker_(must(SymbolWorker::start())), kernel_(must(Kernel::open(options)))
    {
        for (const auto& [pid, limit] : limits) {
            AttachmentOptions attachment;
            attachment.thresholds = {limit, limit};
            targets_[static_cast<std::uint32_t>(pid)] = must(Attachment::attach(
                must(open_process(pid)), *kernel_, *worker_, attachment,
                [](std::uint32_t, std::uint64_t) { return std::unique_ptr<Sampling>(); }, false));
        }
        const auto is_searching = [](const auto& target) { return target.second->is_searching(); };
        while (std::ranges::any_of(targets_, is_searching)) {
            kernel_->drain(256, [this](const Event& event) { on_event(event); });
            worker_->poll();
            for (const auto& [pid, target] : targets_) target->go_on(monotonic_ns());
            ::poll(nullptr, 0, 1);
        }
    }

    void serve()
    {
        std::cout << "ready " << ::getpid() << std::endl;
        for (std::string line; !over_;) {
            pollfd waits[] = {
                {STDIN_FILENO, POLLIN, 0}, {kernel_->ring_descriptor(), POLLIN, 0}, {worker_->descriptor(), POLLIN, 0}};
            ::poll(waits, std::size(waits), -1);
            drain();
            if (waits[2].revents) worker_->poll();
            if (waits[0].revents && std::getline(std::cin, line)) obey(line);
            over_ |= !std::cin;
        }
    }

private:
    void drain()
    {
        while (kernel_->drain(256, [this](const Event& event) { on_event(event); })) {
        }
    }

    void on_event(const Event& event)
    {
        if (const auto* dispatch = std::get_if<DispatchEvent>(&event)) seen_[dispatch->head.pid].slow += dispatch->slow;
        if (const auto* place = std::get_if<SourceEvent>(&event)) seen_[place->head.pid].blocks += place->single;
        if (const auto* wait = std::get_if<WaitEvent>(&event))
            if (const auto target = targets_.find(wait->head.pid); target != targets_.end()) target->second->on(*wait);
    }

    void obey(const std::string& line)
    {
        std::istringstream words(line);
        std::string verb, loss;
        std::uint32_t pid = 0;
        std::uint64_t limit = 0;
        words >> verb;
        if (verb == "loss" && words >> loss) std::cout << "loss " << kernel_->losses()[loss] << std::endl;
        words >> pid >> limit;
        if (verb == "count") {
            const auto seen = std::exchange(seen_[pid], {});
            std::cout << "count " << seen.slow << " " << seen.blocks << std::endl;
        } else if (verb == "limit") {
            if (!kernel_->admit(static_cast<pid_t>(pid), {limit * ms, limit * ms})) std::_Exit(1);
            std::cout << "limited" << std::endl;
        } else if (verb == "dismiss") {
            targets_.erase(pid);
            std::cout << "dismissed" << std::endl;
        }
    }

    std::unique_ptr<SymbolWorker> worker_;
    std::unique_ptr<Kernel> kernel_;
    std::map<std::uint32_t, std::unique_ptr<Attachment>> targets_;
    std::map<std::uint32_t, Seen> seen_;
    bool over_ = false;
};

}  // namespace

int main(int argc, char** argv)
{
    std::map<pid_t, std::uint64_t> limits;
    KernelOptions options;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::string_view(argv[i]) == "--stacks") {
            options.max_stacks = static_cast<std::uint32_t>(std::atoi(argv[i + 1]));
            continue;
        }
        const auto limit = std::strtoull(argv[i + 1], nullptr, 10) * ms;
        limits[static_cast<pid_t>(std::strtol(argv[i], nullptr, 10))] = limit;
        options.least.slow_ns = std::min<std::uint64_t>(options.least.slow_ns, limit);
        options.least.block_ns = options.least.slow_ns;
    }
    if (limits.empty()) return 2;
    Session(std::move(limits), options).serve();
}
