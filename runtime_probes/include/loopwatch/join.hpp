// SPDX-License-Identifier: Apache-2.0
//
// How an event loop and a task type that are not ours join in: LoopProbes stands beside the loop, TaskProbes in the
// task, PromiseProbes in the promise if tasks are coroutines, and each is told what happens. From C++17 on, header
// only.
//
//   LoopProbes probes("worker");
//   probes.start();                             in the function that loops
//   for (;;) {
//       probes.begin_poll(timeout_ns);
//       int events = epoll_wait(…);
//       probes.end_poll(events);
//       for (Job& job : ready) { probes.begin(&job.task); job.run(); probes.end(); }
//   }
//   probes.stop();
//
// Detached, a dispatch costs the stores to the slot and to the task; attached, two clock reads more. With
// LOOPWATCH_NO_PROBES no dispatch stores anything and nobody finds the loop. README.md of runtime_probes shows a whole
// runtime; from C: join.h.
#pragma once

#include <loopwatch/join/loop_probes.hpp>
#include <loopwatch/join/promise_probes.hpp>
#include <loopwatch/join/task_probes.hpp>
