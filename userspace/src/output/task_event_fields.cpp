// SPDX-License-Identifier: Apache-2.0
//
// What the records about tasks carry beside loop_id and task_id: one row a type.
#include "output/record_fields.hpp"

namespace loopwatch::json {
namespace {

using enum TaskField::Shape;

// clang-format off
// Of each misuse.
constexpr TaskField in_task = {"in_task", "id of the task in whose dispatch it happened"};
// Of those that concern a task, that one's; innermost first, empty: none, or not known.
constexpr TaskField own_chain = {"await_chain", "its coroutines, each at its last await, innermost first", chain};
constexpr TaskField chain_of_in_task = {"await_chain", "coroutines of in_task, each at its last await, innermost first", chain};
constexpr TaskField name = {"name", "given to the task by the program"};
constexpr TaskField own_labels = {"labels", "of the task", labels};

constexpr TaskField destroyed_pending[] = {
    name,
    {"created_at", "where it was spawned", location},
    {"suspended_at", "the await it never returned from", location},
    own_labels,
    own_chain,
    in_task,
};
constexpr TaskField never_awaited[] = {
    {"created_at", "the coroutine's function", location},
    {"called_at", "the innermost own line of called_stack", location},
    {"called_stack", "who called it, with --debug, innermost first; empty: not known", stack},
    chain_of_in_task,
    in_task,
};
constexpr TaskField exception_unretrieved[] = {
    name,
    {"exception", "type of the exception"},
    {"what", "its what()"},
    {"created_at", "where the task was spawned", location},
    {"thrown_at", "the innermost own line of thrown_stack", location},
    {"thrown_stack", "where it was thrown, with --debug, innermost first; empty: not known", stack},
    own_labels,
    in_task,
};
constexpr TaskField cancelled[] = {
    name,
    {"by", "id of the task that cancelled it"},
    {"reason", "given by the canceller"},
    {"outcome", "cancelled, swallowed, result or exception"},
    {"took_ns", "from the first request to its end", number},
    {"created_at", "where it was spawned", location},
    own_labels,
    own_chain,
    in_task,
};
constexpr TaskField deadlock[] = {
    name,
    {"awaited", "the task whose await closes the cycle"},
    {"length", "tasks in the cycle", number},
    {"created_at", "where it was spawned", location},
    own_labels,
    own_chain,
    in_task,
};
constexpr TaskField thread_violation[] = {
    {"operation", "what was invoked"},
    {"owner_tid", "the thread that runs the loop", number},
    chain_of_in_task,
    in_task,
};
constexpr TaskField resource_leak[] = {
    {"resource", "socket, file, timer, event loop"},
    {"fd", "its descriptor", number},
    {"opened_at", "where it was opened", location},
    {"opened_stack", "by which calls, innermost first; empty: not known", stack},
    in_task,
};
constexpr TaskField slow_poll[] = {
    {"timeout_ns", "what the poll was asked for", number},
    {"elapsed_ns", "what it took", number},
    {"events", "completions it returned", number},
    in_task,
};
constexpr TaskField created[] = {
    {"parent_id", "the task that spawned it"},
    {"name", "given by the program"},
    {"created_at", "where it was spawned", location},
};
constexpr TaskField suspended[] = {
    {"awaited", "the task it waits for"},
    {"suspended_at", "the await", location},
};
constexpr TaskField finished[] = {{"outcome", "result, exception or cancelled"}};
constexpr TaskField destroyed[] = {{"state", "it was in"}};
constexpr TaskField cancel_requested[] = {
    {"by", "id of the task that asks"},
    {"reason", "given by it"},
};
constexpr TaskField cancel_delivered[] = {{"outcome", "cancelled or swallowed"}};
constexpr TaskField dispatch_begin[] = {{"resumed_at", "the await at which it goes on", location}};
constexpr TaskField poll_begin[] = {{"timeout_ns", "what the poll is asked for", number}};
constexpr TaskField poll_end[] = {{"events", "completions it returned", number}};

constexpr TaskEventType types[] = {
    {"task_destroyed_pending", "a task died before it finished", true, destroyed_pending, "Task was destroyed but it is pending!"},
    {"coroutine_never_awaited", "a lazy coroutine was destroyed without one resume", true, never_awaited, "coroutine was never awaited"},
    {"exception_unretrieved", "a task ended with an exception that nobody looked at", true, exception_unretrieved, "Task exception was never retrieved"},
    {"task_cancelled", "a cancelled task ended", true, cancelled},
    {"deadlock", "tasks await each other in a cycle", true, deadlock, "tasks wait for each other"},
    {"thread_violation", "an operation of a loop was invoked on another thread", true, thread_violation, "Non-thread-safe operation invoked on an event loop other than the current one"},
    {"resource_leak", "open when its loop closed", true, resource_leak, "unclosed when its loop ended"},
    {"slow_poll", "a poll took longer than it was asked to", true, slow_poll, "the poll took longer than it was asked to"},
    {"task_created", "a task was spawned", false, created},
    {"task_started", "its first resume", false, {}},
    {"task_suspended", "it waits", false, suspended},
    {"task_resumed", "it goes on", false, {}},
    {"task_finished", "it returned, threw or was cancelled", false, finished},
    {"task_destroyed", "its memory is released", false, destroyed},
    {"cancel_requested", "somebody asked it to stop", false, cancel_requested},
    {"cancel_delivered", "the request was thrown at its await", false, cancel_delivered},
    {"dispatch_begin", "a dispatch begins", false, dispatch_begin},
    {"dispatch_end", "and ends", false, {}},
    {"poll_begin", "the loop is about to wait", false, poll_begin},
    {"poll_end", "the wait returned", false, poll_end},
};
// clang-format on

}  // namespace

std::span<const TaskEventType> task_event_types()
{
    return types;
}

}  // namespace loopwatch::json
