// SPDX-License-Identifier: Apache-2.0
//
// The search for a deadlock, before a task begins to wait: over joined tasks, holders of locks and groups.
#include <cstddef>
#include <system_error>

#include <loopwatch/rt/detail/findings.hpp>
#include <loopwatch/rt/detail/task_control.hpp>

namespace loopwatch::detail {

// The tasks that were found, each once: linked by next_found_, which in the last one leads to itself.
class TaskControl::CycleSearch {
public:
    explicit CycleSearch(const TaskControl& first) noexcept : first_(first), last_(&first)
    {
        first.next_found_ = &first;
    }
    CycleSearch(const CycleSearch&) = delete;
    CycleSearch& operator=(const CycleSearch&) = delete;
    ~CycleSearch()
    {
        for (const TaskControl* task = &first_; task != nullptr;) {
            const TaskControl* const following = next(*task);
            task->next_found_ = nullptr;
            task = following;
        }
    }
    void add_awaited(const TaskControl& task) noexcept
    {
        add(task.holder_ != nullptr ? *task.holder_ : task.awaiting_);
        if (task.awaiting_all_ == nullptr) return;
        std::size_t index = 0;
        while (const TaskControl* const awaited = task.awaiting_all_->task_at(index++)) add(awaited);
    }
    const TaskControl* next(const TaskControl& task) const noexcept
    {
        return task.next_found_ == &task ? nullptr : task.next_found_;
    }
    const TaskControl* last() const noexcept { return last_; }

private:
    void add(const TaskControl* task) noexcept
    {
        if (task == nullptr || task->next_found_ != nullptr) return;
        last_->next_found_ = task->next_found_ = task;
        last_ = task;
    }

    const TaskControl& first_;
    const TaskControl* last_;
};

lw_u64 TaskControl::cycle_length(const TaskControl& waiter) const noexcept
{
    CycleSearch search(*this);
    lw_u64 length = 1;
    const TaskControl* end_of_level = this;  // breadth first: the last one found at this distance
    for (const TaskControl* task = this; task != nullptr; task = search.next(*task)) {
        if (task == &waiter) return length;
        search.add_awaited(*task);
        if (task != end_of_level) continue;
        ++length;
        end_of_level = search.last();
    }
    return 0;
}

void TaskControl::refuse_cycle(const TaskControl& waiter) const
{
    const lw_u64 length = cycle_length(waiter);
    if (length == 0) return;
    if (watched()) tell_deadlock(waiter.record_, record_, length);
    throw std::system_error(std::make_error_code(std::errc::resource_deadlock_would_occur));
}

}  // namespace loopwatch::detail
