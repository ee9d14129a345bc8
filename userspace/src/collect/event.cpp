// SPDX-License-Identifier: Apache-2.0
#include "collect/event.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

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

template <class T>
std::optional<Event> plain(std::span<const std::uint8_t> bytes)
{
    T event;
    if (!copy(bytes, event)) return std::nullopt;
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
    terminate(event.head.task.name);
    return event;
}

}  // namespace

std::optional<Event> decode(std::span<const std::uint8_t> bytes)
{
    lw_event head;
    if (!copy(bytes, head) || head.size != bytes.size()) return std::nullopt;
    switch (head.kind) {
        case LW_EVENT_LOOP_START:
        case LW_EVENT_LOOP_STOP: return plain<lw_loop_started>(bytes);
        case LW_EVENT_DISPATCH: {
            auto event = plain<lw_dispatch>(bytes);
            if (event) terminate(std::get<lw_dispatch>(*event).task.name);
            return event;
        }
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
            }
            return event;
        }
        case LW_EVENT_TRACE: {
            lw_trace event = {};
            if (bytes.size() < offsetof(lw_trace, text)) return std::nullopt;
            std::memcpy(&event, bytes.data(), std::min(bytes.size(), sizeof event));
            terminate(event.text);
            return event;
        }
        case LW_EVENT_WAKE: return plain<WakeEvent>(bytes);
        case LW_EVENT_EXIT: return plain<ExitEvent>(bytes);
        default: return std::nullopt;
    }
}

}  // namespace loopwatch
