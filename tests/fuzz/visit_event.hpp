// SPDX-License-Identifier: Apache-2.0
//
// Reads all of an event that its readers do, and holds it to what they rely on.
#pragma once

#include <numeric>
#include <variant>
#include <vector>

#include "collect/event.hpp"
#include "invariant.hpp"
#include "target/loop_state.hpp"

// Reads to the end of a text, and of a list.
template <std::size_t room>
void visit_text(const loopwatch::BoundedText<room>& text)
{
    hold(text.view().size() < room, "a text that ends");
}

inline void visit_numbers(const auto& numbers)
{
    volatile auto sum = std::accumulate(numbers.begin(), numbers.end(), std::uint64_t{0});
    (void)sum;
}

inline void visit_task(const loopwatch::TaskSnapshot& task)
{
    visit_text(task.name);
    visit_text(task.labels);
    hold(task.frames.size() <= loopwatch::TaskSnapshot::max_frames, "bounded chains");
    hold(task.state <= loopwatch::TaskState::unknown, "a state that is one");
}

inline void visit_stack(const loopwatch::RawStack& stack)
{
    visit_numbers(stack.bytes);
}

// A length and a moment, as statistics make them of a loop's clock.
inline void visit_slot(const loopwatch::LoopState& slot)
{
    hold(slot.clock_shift < 64, "a clock's shift that can be done");
    volatile auto sum = loopwatch::ticks_to_ns(slot, slot.busy_ticks) + loopwatch::moment_ns(slot, slot.start);
    (void)sum;
}

struct EventVisitor {
    void operator()(const loopwatch::LoopStartedEvent&) const {}
    void operator()(const loopwatch::LoopStoppedEvent& event) const
    {
        if (event.state) visit_slot(*event.state);
    }
    void operator()(const loopwatch::DispatchEvent& event) const
    {
        hold(event.start_ns <= event.end_ns, "no end before its beginning");
        for (const auto& preemptor : event.contention.preemptors) visit_text(preemptor.comm);
        for (const auto& wait : event.waits) hold(wait.since_ns != 0, "a wait that was");
        visit_task(event.task);
    }
    void operator()(const loopwatch::IterationEvent& event) const
    {
        hold(event.start_ns <= event.end_ns, "no end before its beginning");
    }
    void operator()(const loopwatch::SourceEvent& event) const
    {
        visit_text(event.waker.comm);
        visit_text(event.file.path);
        visit_numbers(event.waker.kernel_stack);
        visit_numbers(event.kernel_stack);
        visit_task(event.task);
        visit_stack(event.stack);
    }
    void operator()(const loopwatch::SampleEvent& event) const
    {
        visit_task(event.task);
        visit_stack(event.stack);
    }
    void operator()(const loopwatch::CallEvent& event) const
    {
        visit_text(event.call);
        visit_text(event.text);
        visit_text(event.target);
        visit_task(event.task);
        visit_stack(event.stack);
    }
    void operator()(const loopwatch::StepEvent& event) const
    {
        visit_text(event.text);
        if (!event.misuse) return;
        visit_text(event.misuse->file);
        visit_text(event.misuse->function);
        visit_numbers(event.misuse->calls);
        visit_task(event.misuse->task);
    }
    void operator()(const loopwatch::WakerEvent& event) const { visit_stack(event.stack); }
    void operator()(const loopwatch::WaitEvent& event) const
    {
        visit_numbers(event.polled);
        visit_stack(event.stack);
    }
    void operator()(const loopwatch::ShimWaitEvent& event) const { visit_stack(event.stack); }
    void operator()(const loopwatch::ThrownEvent& event) const { visit_stack(event.stack); }
    void operator()(const loopwatch::WakeEvent&) const {}
    void operator()(const loopwatch::ExitEvent&) const {}
    void operator()(const loopwatch::ChildEvent&) const {}
    void operator()(const loopwatch::ExecEvent&) const {}
    void operator()(const loopwatch::EndedEvent&) const {}
};

inline void visit_event(const loopwatch::Event& event)
{
    std::visit(EventVisitor{}, event);
}
