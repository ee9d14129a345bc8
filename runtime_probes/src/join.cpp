// SPDX-License-Identifier: Apache-2.0
//
// The C ABI over join.hpp. Built without exceptions and run-time type information.
#include <loopwatch/join.h>

#include <new>

#include <loopwatch/join.hpp>

struct lw_join_loop : loopwatch::LoopProbes {
    using LoopProbes::LoopProbes;
};
struct lw_join_task : loopwatch::TaskProbes {
    using TaskProbes::TaskProbes;
};

extern "C" {

lw_join_loop* lw_join_loop_new(const char* name)
{
    return new (std::nothrow) lw_join_loop(name);
}
void lw_join_loop_free(lw_join_loop* loop)
{
    delete loop;
}
void lw_join_start_at(lw_join_loop* loop, void* stack_top)
{
    loop->start(stack_top);
}
void lw_join_stop(lw_join_loop* loop)
{
    loop->stop();
}
bool lw_join_attached()
{
    return loopwatch::LoopProbes::attached();
}
void lw_join_begin(lw_join_loop* loop, lw_join_task* task)
{
    loop->begin(task);
}
void lw_join_end(lw_join_loop* loop)
{
    loop->end();
}
void lw_join_begin_poll(lw_join_loop* loop, lw_u64 timeout_ns)
{
    loop->begin_poll(timeout_ns);
}
void lw_join_end_poll(lw_join_loop* loop, lw_u64 events)
{
    loop->end_poll(events);
}

lw_join_task* lw_join_task_new(lw_join_loop* loop, const char* name, const lw_location* where)
{
    return new (std::nothrow) lw_join_task(*loop, name, where);
}
void lw_join_task_free(lw_join_task* task)
{
    delete task;
}
const lw_task* lw_join_task_record(const lw_join_task* task)
{
    return task;
}
void lw_join_task_suspended(lw_join_task* task, const lw_location* where, const lw_awaited* what, lw_u64 task_id)
{
    task->suspended(where, what, task_id);
}
void lw_join_task_ready(lw_join_task* task)
{
    task->ready();
}
void lw_join_task_finished(lw_join_task* task, lw_outcome outcome)
{
    task->finished(outcome);
}
void lw_join_task_cancel_requested(lw_join_task* task, const char* why, lw_u64 by)
{
    task->cancel_requested(why, by);
}
void lw_join_task_cancel_delivered(lw_join_task* task)
{
    task->cancel_delivered();
}

}  // extern "C"
