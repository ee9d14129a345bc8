// SPDX-License-Identifier: Apache-2.0
//
// What `loopwatch ps` and `tree` read of a target that lies, or changes while it is read. The target is an arena of
// this very process at a fixed address: an honest list of tasks, and the input is a script of stores into it, each with
// its moment, counted in reads. process_vm_readv is the kernel's own; only the moment before it is ours. See
// target_arena.hpp for the encoding.
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_set>

#include "analysis/task_tree.hpp"
#include "invariant.hpp"
#include "output/task_text.hpp"
#include "target/loops.hpp"
#include "target/process.hpp"
#include "target/tasks.hpp"
#include "target_arena.hpp"

using namespace loopwatch;

namespace {

// What the reader does at most for a task beside its frames, for a retry and for a location. A task: its record, walked
// over and looked at anew, two texts over a page's end, and as much again for what a record may come to hold.
constexpr std::uint64_t reads_a_task = 18, reads_a_retry = 4, reads_a_location = 16;
constexpr std::size_t retries_a_task = 65;
constexpr std::size_t max_name = 128, max_labels = 512, max_text = 1024, max_indent = 3 * 64;
constexpr std::size_t drawn = 40;  // enough to go deeper than a line may

std::uint64_t reads = 0;

// Counted here, not followed by the reader: what a list that does not change must yield.
bool is_whole(const Memory& memory, std::uint64_t slot, std::size_t tasks)
{
    auto next = memory.object<std::uint64_t>(slot + offsetof(lw_loop_slot, tasks));
    for (std::size_t i = 0; i < tasks && next && *next != 0; ++i)
        next = memory.object<std::uint64_t>(*next + offsetof(lw_task, next));
    return next && *next == 0;
}

void check(const TaskList& list, std::uint64_t reads_before)
{
    const auto tasks = list.tasks.size();
    hold(tasks <= TaskReader::max_tasks, "as many tasks as allowed");
    hold(list.retries <= retries_a_task * (tasks + 1), "as many retries as allowed");
    auto allowed = reads_a_task * (tasks + 1) + reads_a_retry * list.retries;
    for (const auto& task : list.tasks) allowed += task.frames.size() + 1;
    hold(reads - reads_before <= allowed, "bounded reads of a list");
    std::unordered_set<std::uint64_t> ids;
    for (const auto& task : list.tasks) {
        hold(task.id != 0 && ids.insert(task.id).second, "each task once");
        hold(task.state != TaskState::unknown, "a state that is one");
        hold(task.name.size() <= max_name, "bounded names");
        if (task.extras != nullptr)
            hold(task.extras->cancel_reason.size() <= max_name && task.extras->labels.size() <= max_labels,
                 "bounded words");
        hold(task.frames.size() <= TaskReader::max_frames, "bounded chains");
    }
}

Location located(Loops& loops, std::uint64_t address)
{
    const auto before = reads;
    const auto& location = loops.location(address);
    hold(reads - before <= reads_a_location, "bounded reads of a location");
    hold(location.function.size() <= max_text && location.file.size() <= max_text, "bounded locations");
    return {location.function, {}, location.line};
}

void check_tree(const std::vector<TaskLink>& links, const TaskTree& tree)
{
    std::vector<bool> reached(links.size(), false);
    const auto follow = [&](std::size_t at) {
        for (; at != TaskTree::none && !reached[at]; at = tree.awaits[at]) reached[at] = true;
    };
    for (const auto root : tree.roots) follow(root);
    for (const auto& cycle : tree.cycles) {
        hold(!cycle.empty(), "a cycle is of somebody");
        for (std::size_t i = 0; i < cycle.size(); ++i)
            hold(tree.awaits[cycle[i]] == cycle[(i + 1) % cycle.size()], "a cycle goes round");
        follow(cycle.front());
    }
    hold(std::ranges::count(reached, false) == 0, "a root or a cycle leads to each task");
}

void check_text(const std::string& text)
{
    for (std::size_t line = 0; line < text.size(); line = text.find('\n', line) + 1)
        hold(text.find_first_not_of(' ', line) - line <= max_indent, "lines that fit");
}

}  // namespace

extern "C" ssize_t process_vm_readv(pid_t pid, const iovec* local, unsigned long locals, const iovec* remote,
                                    unsigned long remotes, unsigned long flags)
{
    ++reads;
    Arena::of_this_process().step();
    return ::syscall(SYS_process_vm_readv, pid, local, locals, remote, remotes, flags);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const auto process = Process::open(::getpid());
    hold(process.has_value(), "this process can be opened");
    auto& arena = Arena::of_this_process();
    reads = 0;
    arena.begin(data, size);
    Loops loops(*process);
    std::string other_version;
    const auto slots = loops.list(arena.registry(), other_version);
    std::vector<TaskView> tasks;
    std::unordered_set<std::uint64_t> addresses;
    for (const auto& [address, slot] : slots) {
        hold(addresses.insert(address).second, "each loop once");
        const auto before = reads;
        const bool still = arena.is_still();
        auto list = TaskReader(loops.memory()).list(address);
        check(list, before);
        if (still && list.broken.empty())
            hold(is_whole(loops.memory(), address, list.tasks.size()), "a list that ends early says so");
        if (arena.is_honest() && addresses.size() == 1)
            hold(list.broken.empty() && list.tasks.size() == arena.tasks(), "an honest list is whole");
        std::ranges::move(list.tasks, std::back_inserter(tasks));
    }
    // Names are cut here, to save time: drawing takes longer than reading.
    TaskSource source{{}, [&](std::size_t at) {
                          ListedTask listed;
                          listed.task.id = std::to_string(tasks[at].id);
                          listed.task.name = tasks[at].name;
                          for (const auto& frame : tasks[at].frames)
                              listed.task.await_chain.push_back(located(loops, frame.created_at));
                          for (auto& place : listed.task.await_chain) place.function.resize(8);
                          return listed;
                      }};
    for (const auto& task : tasks) source.links.push_back({task.id, task.awaits});
    check_tree(source.links, task_tree(source.links));
    source.links.resize(std::min(source.links.size(), drawn));
    check_text(task_forest(source, TextStyle{false}));
    arena.end();
    return 0;
}
