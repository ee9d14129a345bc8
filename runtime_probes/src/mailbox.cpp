// SPDX-License-Identifier: Apache-2.0
#include <loopwatch/rt/detail/mailbox.hpp>

#include <asio/post.hpp>

namespace loopwatch::detail {

void Mailbox::push(Inbound& item) noexcept
{
    Inbound* head = head_.load(std::memory_order_relaxed);
    do {
        item.next_inbound = head;
    } while (!head_.compare_exchange_weak(head, &item));
    switch (state_.load()) {
        case State::running: break;
        case State::waiting: wake(); break;
        case State::closed: discard(); break;
    }
}

void Mailbox::wake() noexcept
{
    State expected = State::waiting;
    if (!state_.compare_exchange_strong(expected, State::running)) return;
    const std::lock_guard lock(gate_);
    if (context_ != nullptr) asio::post(*context_, [] {});
}

Inbound* Mailbox::take() noexcept
{
    if (head_.load(std::memory_order_relaxed) == nullptr) return nullptr;
    Inbound* newest = head_.exchange(nullptr);
    Inbound* oldest = nullptr;
    while (newest != nullptr) {
        Inbound* const next = newest->next_inbound;
        newest->next_inbound = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

bool Mailbox::begin_wait() noexcept
{
    state_.store(State::waiting);
    if (head_.load() == nullptr) return true;
    end_wait();
    return false;
}

void Mailbox::close() noexcept
{
    {
        const std::lock_guard lock(gate_);
        context_ = nullptr;
    }
    state_.store(State::closed);
    discard();
}

void Mailbox::discard() noexcept
{
    for (Inbound* item = take(); item != nullptr;) {
        Inbound* const next = item->next_inbound;
        item->arrive(nullptr);
        item = next;
    }
}

}  // namespace loopwatch::detail
