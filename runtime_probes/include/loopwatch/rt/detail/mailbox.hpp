// SPDX-License-Identifier: Apache-2.0
//
// How other threads reach a loop: a lock-free list with many producers and one consumer. Shared by all who may still
// send when the loop is gone; what arrives then is discarded.
#pragma once

#include <atomic>
#include <mutex>

#include <loopwatch/rt/detail/asio.hpp>

#include <asio/io_context.hpp>

namespace loopwatch {

class Loop;

namespace detail {

struct Inbound {
    Inbound* next_inbound = nullptr;
    // On the loop's thread; `loop` null: the loop is gone, release what you hold (on any thread).
    virtual void arrive(Loop* loop) noexcept = 0;

protected:
    ~Inbound() = default;
};

class Mailbox {
public:
    explicit Mailbox(asio::io_context& context) noexcept : context_(&context) {}
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;

    // Any thread. Wakes the loop if it waits.
    void push(Inbound& item) noexcept;
    // Any thread: ends a wait in progress.
    void wake() noexcept;

    // Loop's thread: everything that came, oldest first, linked by next_inbound.
    Inbound* take() noexcept;
    // Loop's thread: from here on a push posts to the context. False: something has come already, do not wait.
    bool begin_wait() noexcept;
    void end_wait() noexcept { state_.store(State::running, std::memory_order_relaxed); }
    // Loop's thread: nothing arrives any more.
    void close() noexcept;

private:
    enum class State { running, waiting, closed };

    void discard() noexcept;

    std::atomic<Inbound*> head_{nullptr};
    // running ↔ waiting and → closed by the loop; waiting → running by whoever wakes it. Sequentially consistent
    // against head_: a producer links, then looks whether the loop waits; the loop says that it waits, then looks
    // whether something is linked.
    std::atomic<State> state_{State::running};
    std::mutex gate_;  // between a wake-up and the end of the context
    asio::io_context* context_;
};

}  // namespace detail
}  // namespace loopwatch
