// SPDX-License-Identifier: Apache-2.0
//
// Semaphore: so many tasks at a time, what asyncio calls asyncio.Semaphore. Blocks tasks, never the thread.
#pragma once

#include <coroutine>
#include <cstddef>
#include <optional>
#include <utility>

#include <loopwatch/rt/detail/wait_list.hpp>

namespace loopwatch {

class Semaphore;

namespace detail {
class PermitAwaiter;
}

// One of a Semaphore's permits, until it is destroyed. Movable.
class [[nodiscard]] Permit {
public:
    inline Permit(Permit&& other) noexcept;
    inline Permit& operator=(Permit&& other) noexcept;
    inline ~Permit();

private:
    friend class Semaphore;
    friend class detail::PermitAwaiter;
    // Takes over a permit that is counted already.
    inline Permit(Semaphore& semaphore, lw_u64 holder) noexcept;
    inline void link() noexcept;
    inline void unlink() noexcept;
    inline void replace(Permit& other) noexcept;

    Semaphore* semaphore_;
    lw_u64 holder_;  // id of the task that took it; 0: none did
    Permit* next_ = nullptr;
    Permit* previous_ = nullptr;
};

namespace detail {

class [[nodiscard]] PermitAwaiter final : public Waiter {
public:
    using loop_awaitable = void;
    explicit PermitAwaiter(Semaphore& semaphore) noexcept : semaphore_(semaphore) {}
    // Given a permit, and destroyed before it could go on.
    inline ~PermitAwaiter();

    bool await_ready() const noexcept { return false; }
    // False: it need not wait.
    template <class P>
    bool await_suspend(std::coroutine_handle<P> handle) noexcept;
    inline Permit await_resume();

private:
    friend class loopwatch::Semaphore;

    Semaphore& semaphore_;
    lw_u64 holder_ = 0;
    bool granted_ = false;  // until await_resume
};

}  // namespace detail

// Belongs to the thread of its tasks' loop. Permits are handed on in the order in which tasks came: nobody starves.
// Must outlive its permits and who waits for it.
class Semaphore {
public:
    // `name` is what `loopwatch ps` calls it; it must live as long.
    explicit Semaphore(std::size_t permits, const char* name = nullptr) noexcept
        : available_(permits), awaited_{LW_AWAITED_SEMAPHORE, -1, 0, name}
    {
    }
    Semaphore(const Semaphore&) = delete;
    Semaphore& operator=(const Semaphore&) = delete;

    std::size_t available() const noexcept { return available_; }
    // `Permit permit = co_await semaphore.acquire();` Cancellable; a permit that was granted at the same moment is
    // kept, and Cancelled comes at the next await.
    detail::PermitAwaiter acquire() noexcept { return detail::PermitAwaiter(*this); }
    // Nothing: all are taken.
    std::optional<Permit> try_acquire() noexcept
    {
        if (available_ == 0) return std::nullopt;
        --available_;
        const detail::TaskControl* const task = detail::running_task();
        return Permit(*this, task == nullptr ? 0 : task->id());
    }
    // Adds permits beyond the initial count; waiting tasks get them first.
    void add(std::size_t permits) noexcept
    {
        for (; permits != 0; --permits) give_back();
    }

private:
    friend class detail::PermitAwaiter;
    friend class Permit;

    void give_back() noexcept
    {
        detail::Waiter* const next = waiters_.front("Semaphore::release");
        if (next == nullptr) {
            ++available_;
            return;
        }
        static_cast<detail::PermitAwaiter&>(*next).granted_ = true;
        waiters_.wake_front();
    }

    detail::WaitList waiters_;
    std::size_t available_;
    Permit* oldest_ = nullptr;  // in the order in which they were taken
    Permit* newest_ = nullptr;
    lw_awaited awaited_;  // value: who holds the oldest permit
};

inline Permit::Permit(Semaphore& semaphore, lw_u64 holder) noexcept : semaphore_(&semaphore), holder_(holder)
{
    link();
}

inline Permit::Permit(Permit&& other) noexcept : semaphore_(nullptr), holder_(0)
{
    replace(other);
}

inline Permit& Permit::operator=(Permit&& other) noexcept
{
    if (this == &other) return *this;
    Permit former(std::move(*this));
    replace(other);
    return *this;
}

inline Permit::~Permit()
{
    if (semaphore_ == nullptr) return;
    unlink();
    semaphore_->give_back();
}

inline void Permit::link() noexcept
{
    previous_ = std::exchange(semaphore_->newest_, this);
    (previous_ != nullptr ? previous_->next_ : semaphore_->oldest_) = this;
    semaphore_->awaited_.value = semaphore_->oldest_->holder_;
}

inline void Permit::unlink() noexcept
{
    (previous_ != nullptr ? previous_->next_ : semaphore_->oldest_) = next_;
    (next_ != nullptr ? next_->previous_ : semaphore_->newest_) = previous_;
    semaphore_->awaited_.value = semaphore_->oldest_ == nullptr ? 0 : semaphore_->oldest_->holder_;
}

// Takes `other`'s place in the row; `other` holds none then.
inline void Permit::replace(Permit& other) noexcept
{
    semaphore_ = std::exchange(other.semaphore_, nullptr);
    holder_ = other.holder_;
    next_ = std::exchange(other.next_, nullptr);
    previous_ = std::exchange(other.previous_, nullptr);
    if (semaphore_ == nullptr) return;
    (previous_ != nullptr ? previous_->next_ : semaphore_->oldest_) = this;
    (next_ != nullptr ? next_->previous_ : semaphore_->newest_) = this;
}

namespace detail {

inline PermitAwaiter::~PermitAwaiter()
{
    if (granted_) semaphore_.give_back();
}

template <class P>
bool PermitAwaiter::await_suspend(std::coroutine_handle<P> handle) noexcept
{
    holder_ = handle.promise().task().id();
    if (semaphore_.available_ != 0) {
        --semaphore_.available_;
        granted_ = true;
        return false;
    }
    wait_in(semaphore_.waiters_, handle, semaphore_.awaited_);
    return true;
}

inline Permit PermitAwaiter::await_resume()
{
    if (!granted_) resumed();
    granted_ = false;
    return Permit(semaphore_, holder_);
}

}  // namespace detail
}  // namespace loopwatch
