// SPDX-License-Identifier: Apache-2.0
#include "collect/event.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "collect/wire.hpp"

namespace loopwatch {

namespace {

using Bytes = std::span<const std::uint8_t>;

template <class Raw>
std::optional<Raw> first(Bytes bytes)
{
    if (bytes.size() < sizeof(Raw)) return std::nullopt;
    Raw raw;
    std::memcpy(&raw, bytes.data(), sizeof raw);
    return raw;
}

// An event that is its head.
template <class Own>
std::optional<Event> plain(const lw_event& head)
{
    return Own{event_head(head)};
}

std::optional<Event> started(Bytes bytes)
{
    const auto raw = first<lw_loop_started>(bytes);
    if (!raw) return std::nullopt;
    LoopStartedEvent event{event_head(raw->event), raw->slot, {}};
    struct Name {
        char text[LW_NAME_BYTES];
    };
    if (const auto name = first<Name>(bytes.subspan(sizeof *raw))) event.name = bounded_text(name->text);
    return event;
}

std::optional<Event> stopped(Bytes bytes)
{
    const auto raw = first<lw_loop_started>(bytes);
    if (!raw) return std::nullopt;
    LoopStoppedEvent event{event_head(raw->event), std::nullopt};
    if (const auto slot = first<lw_loop_slot>(bytes.subspan(sizeof *raw))) event.state = loop_state(*slot);
    return event;
}

std::optional<Event> dispatch(Bytes bytes)
{
    const auto raw = first<lw_dispatch>(bytes);
    if (!raw) return std::nullopt;
    return dispatch_event(*raw);
}

std::optional<Event> iteration(Bytes bytes)
{
    const auto raw = first<lw_iteration>(bytes);
    if (!raw) return std::nullopt;
    const auto start_ns = std::min(raw->start_ns, raw->end_ns);  // both may be the target's word
    return IterationEvent{event_head(raw->event), start_ns,          raw->end_ns,     raw->dispatches, raw->blocked_ns,
                          raw->runq_ns,           raw->throttled_ns, raw->stopped_ns, raw->entered_ns};
}

SourceEvent own(const lw_source& raw, Bytes stack)
{
    return source_event(raw, stack);
}

SampleEvent own(const lw_sample& raw, Bytes stack)
{
    return {event_head(raw.event), raw.stands_for_ns, task_snapshot(raw.task), raw_stack(raw.stack, stack)};
}

CallEvent own(const lw_call& raw, Bytes stack)
{
    CallEvent event;
    event.head = event_head(raw.event);
    event.start_ns = raw.start_ns;
    event.end_ns = raw.end_ns;
    event.caller = raw.caller;
    event.arg = raw.arg;
    event.fd = raw.fd;
    event.more = raw.more;
    event.more_ns = raw.more_ns;
    event.more_longest_ns = raw.more_longest_ns;
    event.call = bounded_text(raw.call);
    event.text = bounded_text(raw.text);
    event.target = bounded_text(raw.target);
    event.task = task_snapshot(raw.task);
    event.stack = raw_stack(raw.stack, stack);
    return event;
}

WakerEvent own(const lw_waker_stack& raw, Bytes stack)
{
    return {event_head(raw.event), raw.waker_tid, raw_stack(raw.stack, stack)};
}

// What its arguments are, the writer says.
std::optional<Event> own(const lw_wait& raw, Bytes stack)
{
    if (raw.args_are == LW_WAIT_ARGS_PLACE)
        return ShimWaitEvent{event_head(raw.event), raw.syscall, raw.args[0],
                             raw.args[1],           raw.args[2], raw_stack(raw.stack, stack)};
    if (raw.args_are != LW_WAIT_ARGS_CALL) return std::nullopt;
    const auto polled = Bytes(raw.polled).first(std::min<std::size_t>(raw.polled_bytes, sizeof raw.polled));
    WaitEvent event{
        event_head(raw.event), raw.syscall, {}, polled_descriptors(raw.syscall, polled), raw_stack(raw.stack, stack)};
    std::ranges::copy(raw.args, event.args.begin());
    return event;
}

ThrownEvent own(const lw_thrown& raw, Bytes stack)
{
    return {event_head(raw.event), raw_stack(raw.stack, stack)};
}

// A record with a stack behind it.
template <class Raw>
std::optional<Event> with_stack(Bytes bytes)
{
    const auto raw = first<Raw>(bytes);
    if (!raw || raw->stack.bytes > bytes.size() - sizeof *raw) return std::nullopt;
    return own(*raw, bytes.subspan(sizeof *raw, raw->stack.bytes));
}

std::optional<Event> ended(Bytes bytes)
{
    const auto raw = first<lw_ended>(bytes);
    if (!raw) return std::nullopt;
    return EndedEvent{event_head(raw->event), raw->status};
}

std::optional<Event> decode_one(const lw_event& head, Bytes bytes)
{
    switch (head.kind) {
        case LW_EVENT_LOOP_START: return started(bytes);
        case LW_EVENT_LOOP_STOP: return stopped(bytes);
        case LW_EVENT_DISPATCH: return dispatch(bytes);
        case LW_EVENT_ITERATION: return iteration(bytes);
        case LW_EVENT_SOURCE: return with_stack<lw_source>(bytes);
        case LW_EVENT_SAMPLE: return with_stack<lw_sample>(bytes);
        case LW_EVENT_CALL: return with_stack<lw_call>(bytes);
        case LW_EVENT_WAKER: return with_stack<lw_waker_stack>(bytes);
        case LW_EVENT_WAIT: return with_stack<lw_wait>(bytes);
        case LW_EVENT_THROWN: return with_stack<lw_thrown>(bytes);
        case LW_EVENT_WAKE: return plain<WakeEvent>(head);
        case LW_EVENT_CHILD: return plain<ChildEvent>(head);
        case LW_EVENT_EXEC: return plain<ExecEvent>(head);
        case LW_EVENT_EXIT: return plain<ExitEvent>(head);
        case LW_EVENT_ENDED: return ended(bytes);
        default: return std::nullopt;
    }
}

// The step at the beginning of `bytes`, whose fields beyond its size are zero up to the end of the part in which it
// ends; false: there is none.
bool first_step(Bytes bytes, lw_step& step)
{
    constexpr auto without_text = offsetof(lw_step, text), without_misuse = offsetof(lw_step, misuse);
    if (bytes.size() < without_text) return false;
    std::memcpy(&step, bytes.data(), without_text);
    if (step.size < without_text || step.size > std::min(bytes.size(), sizeof step)) return false;
    std::memcpy(&step, bytes.data(), step.size);
    const auto end = step.size <= without_misuse ? without_misuse : sizeof step;
    std::memset(reinterpret_cast<std::uint8_t*>(&step) + step.size, 0, end - step.size);
    return true;
}

Misuse misuse_of(const lw_misuse& raw)
{
    return {raw.in_task,
            raw.location,
            raw.asked_ns,
            raw.line,
            bounded_text(raw.file),
            bounded_text(raw.function),
            {raw.calls, raw.call_count},
            task_snapshot(raw.task)};
}

std::size_t decode_steps(const lw_event& head, Bytes bytes, const std::function<void(const Event&)>& handle)
{
    std::size_t steps = 0;
    Event event = StepEvent{event_head(head), 0, {}, {}, {}};
    auto& own = std::get<StepEvent>(event);
    for (lw_step step; first_step(bytes, step); ++steps) {
        bytes = bytes.subspan(step.size);
        own.head.time_ns = step.time_ns;
        own.probe = step.probe;
        std::ranges::copy(step.args, own.args.begin());
        own.text = bounded_text(step.text);
        own.misuse.reset();
        if (step.size > offsetof(lw_step, misuse)) own.misuse = misuse_of(step.misuse);
        handle(event);
    }
    return bytes.empty() ? steps : 0;
}

}  // namespace

std::size_t decode(Bytes bytes, const std::function<void(const Event&)>& handle)
{
    const auto head = first<lw_event>(bytes);
    if (!head || head->size != bytes.size()) return 0;
    if (head->kind == LW_EVENT_STEPS) return decode_steps(*head, bytes.subspan(sizeof *head), handle);
    const auto event = decode_one(*head, bytes);
    if (!event) return 0;
    handle(*event);
    return 1;
}

}  // namespace loopwatch
