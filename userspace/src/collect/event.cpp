// SPDX-License-Identifier: Apache-2.0
#include "collect/event.hpp"

#include <loopwatch/loop_state.h>
#include <poll.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

namespace loopwatch {

namespace {

template <class T>
bool copy(std::span<const std::uint8_t> bytes, T& to)
{
    if (bytes.size() < sizeof to) return false;
    std::memcpy(&to, bytes.data(), sizeof to);
    return true;
}

template <class T>
void terminate(T& text)
{
    text[sizeof text - 1] = '\0';
}

void terminate(lw_task_view& task)
{
    terminate(task.name);
    terminate(task.labels);
}

template <class T>
std::optional<Event> plain(std::span<const std::uint8_t> bytes)
{
    T event;
    if (!copy(bytes, event)) return std::nullopt;
    return event;
}

std::optional<Event> stopped(std::span<const std::uint8_t> bytes)
{
    LoopStoppedEvent event{};
    lw_loop_slot slot;
    if (!copy(bytes, event.head)) return std::nullopt;
    if (copy(bytes.subspan(sizeof event.head), slot)) event.state = loop_state(slot);
    return event;
}

// Both times may be the target's word.
template <class T>
std::optional<T> timed(std::span<const std::uint8_t> bytes)
{
    T event;
    if (!copy(bytes, event)) return std::nullopt;
    event.start_ns = std::min(event.start_ns, event.end_ns);
    return event;
}

// A record with a stack behind it.
template <class T>
std::optional<Event> with_stack(std::span<const std::uint8_t> bytes)
{
    T event{};
    if (!copy(bytes, event.head)) return std::nullopt;
    const auto stack = bytes.subspan(sizeof event.head);
    if (event.head.stack.bytes > stack.size()) return std::nullopt;
    event.stack.assign(stack.begin(), stack.begin() + event.head.stack.bytes);
    if constexpr (requires { event.head.task; }) terminate(event.head.task);
    return event;
}

std::optional<Event> decode_one(const lw_event& head, std::span<const std::uint8_t> bytes)
{
    switch (head.kind) {
        case LW_EVENT_LOOP_START: return plain<lw_loop_started>(bytes);
        case LW_EVENT_LOOP_STOP: return stopped(bytes);
        case LW_EVENT_DISPATCH: {
            auto event = timed<lw_dispatch>(bytes);
            if (event) {
                terminate(event->task);
                for (auto& preemptor : event->contention.preemptors) terminate(preemptor.comm);
            }
            return event;
        }
        case LW_EVENT_ITERATION: return timed<lw_iteration>(bytes);
        case LW_EVENT_SOURCE: {
            auto event = with_stack<SourceEvent>(bytes);
            if (event) terminate(std::get<SourceEvent>(*event).head.waker.comm);
            return event;
        }
        case LW_EVENT_SAMPLE: return with_stack<SampleEvent>(bytes);
        case LW_EVENT_CALL: {
            auto event = with_stack<CallEvent>(bytes);
            if (event) {
                terminate(std::get<CallEvent>(*event).head.call);
                terminate(std::get<CallEvent>(*event).head.text);
                terminate(std::get<CallEvent>(*event).head.target);
            }
            return event;
        }
        case LW_EVENT_WAKER: return with_stack<WakerEvent>(bytes);
        case LW_EVENT_WAIT: return with_stack<WaitEvent>(bytes);
        case LW_EVENT_THROWN: return with_stack<ThrownEvent>(bytes);
        case LW_EVENT_WAKE: return plain<WakeEvent>(bytes);
        case LW_EVENT_CHILD: return plain<ChildEvent>(bytes);
        case LW_EVENT_EXEC: return plain<ExecEvent>(bytes);
        case LW_EVENT_EXIT: return plain<ExitEvent>(bytes);
        default: return std::nullopt;
    }
}

// The step at the beginning of `bytes`; false: there is none.
bool first_step(std::span<const std::uint8_t> bytes, lw_step& step)
{
    constexpr auto without_text = offsetof(lw_step, text);
    if (bytes.size() < without_text) return false;
    std::memcpy(&step, bytes.data(), without_text);
    if (step.size < without_text || step.size > std::min(bytes.size(), sizeof step)) return false;
    std::memcpy(&step, bytes.data(), step.size);
    std::memset(reinterpret_cast<std::uint8_t*>(&step) + step.size, 0, sizeof step - step.size);
    terminate(step.text);
    terminate(step.misuse.file);
    terminate(step.misuse.function);
    terminate(step.misuse.task);
    return true;
}

std::size_t decode_steps(const lw_event& head, std::span<const std::uint8_t> bytes,
                         const std::function<void(const Event&)>& handle)
{
    std::size_t steps = 0;
    Event event = StepEvent{head, {}};
    auto& [own, step] = std::get<StepEvent>(event);
    for (; first_step(bytes, step); ++steps) {
        bytes = bytes.subspan(step.size);
        own.time_ns = step.time_ns;
        handle(event);
    }
    return bytes.empty() ? steps : 0;
}

// Of struct pollfd one that is negative is left out of the poll.
std::vector<std::uint64_t> polled_by_poll(std::span<const std::uint8_t> bytes)
{
    std::vector<std::uint64_t> descriptors;
    for (pollfd polled; copy(bytes, polled); bytes = bytes.subspan(sizeof polled))
        if (polled.fd >= 0) descriptors.push_back(static_cast<std::uint64_t>(polled.fd));
    return descriptors;
}

std::vector<std::uint64_t> polled_by_select(std::span<const std::uint8_t> bytes)
{
    std::vector<std::uint64_t> descriptors;
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit)
        if (bytes[bit / 8] >> bit % 8 & 1) descriptors.push_back(bit);
    return descriptors;
}

}  // namespace

std::vector<std::uint64_t> polled_descriptors(const lw_wait& wait)
{
    const auto bytes = std::span(wait.polled).first(std::min<std::size_t>(wait.polled_bytes, LW_POLLED_BYTES));
    const bool selects = wait.syscall == SYS_select || wait.syscall == SYS_pselect6;
    return selects ? polled_by_select(bytes) : polled_by_poll(bytes);
}

std::size_t decode(std::span<const std::uint8_t> bytes, const std::function<void(const Event&)>& handle)
{
    lw_event head;
    if (!copy(bytes, head) || head.size != bytes.size()) return 0;
    if (head.kind == LW_EVENT_STEPS) return decode_steps(head, bytes.subspan(sizeof head), handle);
    const auto event = decode_one(head, bytes);
    if (!event) return 0;
    handle(*event);
    return 1;
}

}  // namespace loopwatch
