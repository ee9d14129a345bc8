// SPDX-License-Identifier: Apache-2.0
//
// What stands in a loop's ready queue, and the queue: intrusive, first in first out, of the loop's own thread.
#pragma once

#include <coroutine>

#include <loopwatch/loop_state.h>
#include <loopwatch/probe.hpp>

namespace loopwatch::detail {

// Is the state read from outside kept at all? False where the probes are compiled out: the loop then leaves no trace.
#ifdef LOOPWATCH_NO_PROBES
inline constexpr bool published = false;
#else
inline constexpr bool published = true;
#endif

struct ReadyNode {
    ReadyNode* next = nullptr;
    lw_task* task = nullptr;         // null: a plain callback (PostedCallback)
    std::coroutine_handle<> handle;  // where the task goes on
    lw_u64 due_ns = 0;               // CLOCK_MONOTONIC expiry of the timer that made it ready; 0: no timer did
};

class ReadyQueue {
public:
    ReadyQueue() = default;
    ReadyQueue(const ReadyQueue&) = delete;
    ReadyQueue& operator=(const ReadyQueue&) = delete;

    bool empty() const noexcept { return head_ == nullptr; }
    ReadyNode* front() const noexcept { return head_; }

    void push(ReadyNode& node) noexcept
    {
        node.next = nullptr;
        *tail_ = &node;
        tail_ = &node.next;
    }

    // The oldest entry, null if there is none.
    ReadyNode* pop() noexcept
    {
        ReadyNode* const node = head_;
        if (node == nullptr) return nullptr;
        head_ = node->next;
        if (head_ == nullptr) tail_ = &head_;
        return node;
    }

private:
    ReadyNode* head_ = nullptr;
    ReadyNode** tail_ = &head_;
};

}  // namespace loopwatch::detail
