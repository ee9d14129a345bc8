// SPDX-License-Identifier: Apache-2.0
//
// The coroutine runtime: tasks on Asio that loopwatch sees from outside. One primitive, one header.
#pragma once

#include <loopwatch/rt/async_generator.hpp>  // AsyncGenerator
#include <loopwatch/rt/cancelled.hpp>        // Cancelled
#include <loopwatch/rt/channel.hpp>          // Channel, ChannelClosed
#include <loopwatch/rt/debug.hpp>            // set_debug, all_tasks, print_stack, handlers
#include <loopwatch/rt/event.hpp>            // Event
#include <loopwatch/rt/exception_group.hpp>  // ExceptionGroup
#include <loopwatch/rt/gather.hpp>           // gather
#include <loopwatch/rt/label.hpp>            // label
#include <loopwatch/rt/loop.hpp>             // Loop
#include <loopwatch/rt/loop_gone.hpp>        // LoopGone, LoopStopped
#include <loopwatch/rt/mutex.hpp>            // Mutex, MutexLock
#include <loopwatch/rt/on_loop.hpp>          // on_loop
#include <loopwatch/rt/run.hpp>              // run
#include <loopwatch/rt/run_in_executor.hpp>  // run_in_executor, run_in_executor_to_end, ExecutorStopped
#include <loopwatch/rt/semaphore.hpp>        // Semaphore, Permit
#include <loopwatch/rt/shared_channel.hpp>   // SharedChannel
#include <loopwatch/rt/shield.hpp>           // shield
#include <loopwatch/rt/sleep.hpp>            // sleep_for, sleep_until
#include <loopwatch/rt/spawn.hpp>            // spawn, JoinHandle, SpawnOptions
#include <loopwatch/rt/task.hpp>             // Task<T>
#include <loopwatch/rt/task_group.hpp>       // TaskGroup
#include <loopwatch/rt/use_task.hpp>         // use_task, use_task_nothrow
#include <loopwatch/rt/when_any.hpp>         // when_any, FirstOf
#include <loopwatch/rt/with_stop_token.hpp>  // with_stop_token
#include <loopwatch/rt/with_timeout.hpp>     // with_timeout, TimedOut
#include <loopwatch/rt/yield.hpp>            // yield
