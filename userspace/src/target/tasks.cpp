// SPDX-License-Identifier: Apache-2.0
#include "target/tasks.hpp"

#include <fmt/format.h>
#include <loopwatch/loop_state.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <unordered_set>

namespace loopwatch {

namespace {

constexpr int max_retries = 64;  // in one place, without a step ahead
constexpr std::size_t max_text = 128, max_labels = 512;
constexpr std::size_t tasks_a_moment = 64;  // what was read is as old as these, at most

// A record that was read, so that the walk can go on from it when its successor is gone.
struct Step {
    std::uint64_t address = 0, id = 0;
};

}  // namespace

std::vector<std::uint64_t> read_backtrace(std::uint64_t address, const Memory& memory)
{
    const auto raw = memory.object<lw_backtrace>(address);
    if (!raw) return {};
    const auto count = std::min<std::uint64_t>(raw->count, std::size(raw->address));
    return {raw->address, raw->address + count};
}

const char* PageCache::page(std::uint64_t address)
{
    for (const auto& known : pages_)
        if (known.address == address && address != 0) return known.bytes;
    auto& page = pages_[next_++ % std::size(pages_)];
    page.address = 0;
    if (!memory_.read(address, page.bytes, page_bytes)) return nullptr;
    page.address = address;
    return page.bytes;
}

bool PageCache::read(std::uint64_t address, void* to, std::size_t bytes)
{
    const auto within = address % page_bytes;
    if (within + bytes > page_bytes) return memory_.read(address, to, bytes);
    const char* const found = page(address - within);
    if (found != nullptr) std::memcpy(to, found + within, bytes);
    return found != nullptr;
}

std::string PageCache::text(std::uint64_t address, std::size_t limit)
{
    const auto within = address % page_bytes;
    if (within + limit > page_bytes) return memory_.text(address, limit);
    const char* const found = page(address - within);
    return found == nullptr ? std::string() : std::string(found + within, ::strnlen(found + within, limit));
}

void PageCache::forget()
{
    for (auto& page : pages_) page.address = 0;
}

bool TaskReader::read_task(std::uint64_t address, std::uint64_t previous, lw_task& task)
{
    return pages_.read(address, &task, sizeof task) && task.id != 0 && task.state <= LW_TASK_FINISHED &&
           (previous == 0 || address_of(task.prev) == previous);
}

TaskView TaskReader::view(const lw_task& task)
{
    TaskView view;
    view.id = task.id;
    view.parent_id = task.parent_id;
    view.created_at = address_of(task.created_at);
    view.awaits = task.awaited_task;
    view.cancelled_by = task.cancelled_by;
    view.state = task_state(task.state);
    view.cancel_requests = task.cancel_requests;
    view.name = pages_.text(address_of(task.name), max_text);
    if (task.cancel_requests != 0 || task.labels != nullptr || task.created_stack != nullptr)
        view.extras = std::make_shared<const TaskExtras>(
            TaskExtras{task.cancel_requests == 0 ? "" : pages_.text(address_of(task.cancel_reason), max_text),
                       task.labels == nullptr ? "" : pages_.text(address_of(task.labels), max_labels),
                       task.cancelled_ns, address_of(task.created_stack)});
    view.created_ns = task.created_ns;
    view.resumes = task.resumes;
    view.has_waited = task.awaited != nullptr || task.awaited_task != 0;
    view.busy_ticks = task.busy_ticks;
    if (lw_awaited awaited = {}; task.state == LW_TASK_SUSPENDED && task.awaited != nullptr &&
                                 pages_.read(address_of(task.awaited), &awaited, sizeof awaited))
        view.awaited = {awaited_kind(awaited.kind), awaited.fd, awaited.value, address_of(awaited.name)};
    auto next = address_of(task.leaf);
    while (next != 0 && view.frames.size() < max_frames) {
        lw_frame frame = {};
        if (!pages_.read(next, &frame, sizeof frame)) break;
        view.frames.push_back({address_of(frame.created_at), address_of(frame.suspended_at), frame.bytes});
        next = address_of(frame.awaiter);
    }
    view.is_deeper = next != 0;
    return view;
}

std::size_t TaskReader::bytes_of(const TaskView& task)
{
    const auto extras =
        task.extras ? sizeof *task.extras + task.extras->cancel_reason.size() + task.extras->labels.size() : 0;
    return sizeof task + task.name.size() + task.frames.capacity() * sizeof task.frames.front() + extras;
}

// Whether it is in the list still: what has been taken out of it keeps its id, and its way on, until its memory is used
// again.
bool TaskReader::is_linked(const lw_task& task, std::uint64_t address, std::uint64_t slot) const
{
    const auto before =
        task.prev != nullptr ? address_of(task.prev) + offsetof(lw_task, next) : slot + offsetof(lw_loop_slot, tasks);
    return memory_.object<std::uint64_t>(before) == address;
}

TaskList TaskReader::list(std::uint64_t slot, std::size_t most_bytes)
{
    TaskList list;
    std::vector<Step> way;
    std::unordered_set<std::uint64_t> seen;
    int retries = 0;
    std::size_t known_again = 0;  // that walks from the head pass, all of them together: none in an honest list
    bool from_head = false;
    // A process that ends meanwhile has no list left: what was read of it is not the whole.
    const auto head = [&] {
        const auto first = memory_.object<std::uint64_t>(slot + offsetof(lw_loop_slot, tasks));
        if (!first) list.broken = "the memory of its loop cannot be read";
        return first.value_or(0);
    };
    std::uint64_t next = head();
    while (next != 0) {
        lw_task task = {};
        const std::uint64_t previous = way.empty() ? 0 : way.back().address;
        const bool stands = read_task(next, previous, task);
        if (stands && from_head && seen.contains(task.id) && ++known_again <= seen.size()) {
            way.push_back({next, task.id});
            next = address_of(task.next);
            continue;
        }
        if (stands && !seen.contains(task.id)) {
            if (list.tasks.size() == max_tasks) {
                list.broken = fmt::format("there are more than {}", max_tasks);
                break;
            }
            if (list.bytes >= most_bytes) {
                list.broken = fmt::format("there are more than fit into {} MiB", max_bytes >> 20);
                break;
            }
            if (seen.size() % tasks_a_moment == 0) pages_.forget();
            seen.insert(task.id);
            list.tasks.push_back(view(task));
            if (list.tasks.back().is_deeper) ++list.deeper;
            list.bytes += bytes_of(list.tasks.back());
            way.push_back({next, task.id});
            next = address_of(task.next);
            retries = 0;
            from_head = false;
            continue;
        }
        ++list.retries;
        pages_.forget();
        if (++retries > max_retries || list.retries > max_tasks) {
            list.broken = "the list of its tasks leads astray, again and again";
            break;
        }
        // From the last one that still stands; from the head, if none does.
        next = 0;
        while (!way.empty() && next == 0) {
            lw_task last = {};
            if (memory_.read(way.back().address, &last, sizeof last) && last.id == way.back().id &&
                is_linked(last, way.back().address, slot)) {
                next = address_of(last.next);
                if (next == 0) return list;
                break;
            }
            way.pop_back();
        }
        if (next != 0) continue;
        next = head();
        from_head = true;
    }
    return list;
}

}  // namespace loopwatch
