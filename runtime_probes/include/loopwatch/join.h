/* SPDX-License-Identifier: Apache-2.0
 *
 * How an event loop in C joins in, or one in another language by its foreign function interface: join.hpp behind plain
 * functions. Link libloopwatch_join.a. C11 and C++.
 *
 *     lw_join_loop* loop = lw_join_loop_new("worker");
 *     lw_join_start(loop);                             in the function that loops
 *     for (;;) {
 *         lw_join_begin_poll(loop, timeout_ns);
 *         int events = epoll_wait(…);
 *         lw_join_end_poll(loop, events);
 *         … for each callback: lw_join_begin(loop, task); callback(); lw_join_end(loop);
 *     }
 *     lw_join_stop(loop);
 *
 * All functions of a loop and its tasks belong to the loop's thread. None fails but for the two that allocate; all
 * accept null where they say so only.
 */
#ifndef LOOPWATCH_JOIN_H
#define LOOPWATCH_JOIN_H

#include <stdbool.h>
#include <stddef.h>

#include <loopwatch/loop_state.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lw_join_loop lw_join_loop;
typedef struct lw_join_task lw_join_task;

#define LW_JOIN_NO_TIMEOUT (~0ull)

/* `name` is not copied: it must live as long as the loop. NULL: out of memory. */
lw_join_loop* lw_join_loop_new(const char* name);
/* After its tasks. Stops it if it runs; null is none. */
void lw_join_loop_free(lw_join_loop* loop);

/* The calling thread runs the loop from here on. Callbacks live below `stack_top`, a frame of the function that loops:
 * their stacks are read up to there. */
void lw_join_start_at(lw_join_loop* loop, void* stack_top);
#define lw_join_start(loop) lw_join_start_at(loop, __builtin_frame_address(0))
void lw_join_stop(lw_join_loop* loop);

/* Is anybody there who wants to be told? What costs time to find out may be left out else. */
bool lw_join_attached(void);

/* Around each dispatch; task: null for a callback that belongs to none. */
void lw_join_begin(lw_join_loop* loop, lw_join_task* task);
void lw_join_end(lw_join_loop* loop);

/* Around each wait; LW_JOIN_NO_TIMEOUT: no time-out. */
void lw_join_begin_poll(lw_join_loop* loop, lw_u64 timeout_ns);
void lw_join_end_poll(lw_join_loop* loop, lw_u64 events);

/* It waits to be run for the first time. `name` and `where` (LW_HERE) are not copied: they must live as long as the
 * task; null: none. NULL: out of memory. */
lw_join_task* lw_join_task_new(lw_join_loop* loop, const char* name, const struct lw_location* where);
/* After the dispatch in which it ended, or its name cannot be told; null is none. */
void lw_join_task_free(lw_join_task* task);
/* The record that others read. */
const struct lw_task* lw_join_task_record(const lw_join_task* task);

/* What ran returns to the loop: it waits at `where`, for `what` (null: not known; must live until it is ready), or for
 * the task with that id (0: none). */
void lw_join_task_suspended(lw_join_task* task, const struct lw_location* where, const struct lw_awaited* what,
                            lw_u64 task_id);
/* What it waited for has come: it stands in the queue. Calls that are missing cost the count of who waited, no more. */
void lw_join_task_ready(lw_join_task* task);
void lw_join_task_finished(lw_join_task* task, enum lw_outcome outcome);

/* Somebody asks it to stop (`by`: that task's id, 0: none); `why` must live as long as the task. */
void lw_join_task_cancel_requested(lw_join_task* task, const char* why, lw_u64 by);
/* And the request reached it where it waited. */
void lw_join_task_cancel_delivered(lw_join_task* task);

#ifdef __cplusplus
}
#endif

#endif
