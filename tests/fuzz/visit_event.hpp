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

inline void visit_task(const lw_task_view& task)
{
    hold_terminated(task.name);
    hold_terminated(task.labels);
}

inline void visit_stack(const lw_stack& head, const std::vector<std::uint8_t>& stack)
{
    hold(stack.size() == head.bytes, "a stack as long as it says");
    volatile auto sum = std::accumulate(stack.begin(), stack.end(), 0u);
    (void)sum;
}

// A length and a moment, as statistics make them of a loop's clock.
inline void visit_slot(const loopwatch::LoopState& slot)
{
    hold(slot.clock_shift < 64, "a clock's shift that can be done");
    volatile auto sum = loopwatch::ticks_to_ns(slot, slot.busy_ticks) + loopwatch::moment_ns(slot, slot.start);
    (void)sum;
}

struct EventVisitor {
    void operator()(const lw_loop_started&) const {}
    void operator()(const loopwatch::LoopStoppedEvent& event) const
    {
        if (event.state) visit_slot(*event.state);
    }
    void operator()(const lw_dispatch& event) const
    {
        for (const auto& preemptor : event.contention.preemptors) hold_terminated(preemptor.comm);
        visit_task(event.task);
    }
    void operator()(const lw_iteration&) const {}
    void operator()(const loopwatch::SourceEvent& event) const
    {
        hold_terminated(event.head.waker.comm);
        visit_task(event.head.task);
        visit_stack(event.head.stack, event.stack);
    }
    void operator()(const loopwatch::SampleEvent& event) const
    {
        visit_task(event.head.task);
        visit_stack(event.head.stack, event.stack);
    }
    void operator()(const loopwatch::CallEvent& event) const
    {
        hold_terminated(event.head.call);
        hold_terminated(event.head.text);
        hold_terminated(event.head.target);
        visit_task(event.head.task);
        visit_stack(event.head.stack, event.stack);
    }
    void operator()(const loopwatch::StepEvent& event) const
    {
        hold_terminated(event.step.text);
        hold_terminated(event.step.misuse.file);
        hold_terminated(event.step.misuse.function);
        visit_task(event.step.misuse.task);
    }
    void operator()(const loopwatch::WakerEvent& event) const { visit_stack(event.head.stack, event.stack); }
    void operator()(const loopwatch::WaitEvent& event) const { visit_stack(event.head.stack, event.stack); }
    void operator()(const loopwatch::ThrownEvent& event) const { visit_stack(event.head.stack, event.stack); }
    void operator()(const loopwatch::WakeEvent&) const {}
    void operator()(const loopwatch::ExitEvent&) const {}
    void operator()(const loopwatch::ChildEvent&) const {}
    void operator()(const loopwatch::ExecEvent&) const {}
};

inline void visit_event(const loopwatch::Event& event)
{
    std::visit(EventVisitor{}, event);
}
