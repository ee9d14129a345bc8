// SPDX-License-Identifier: Apache-2.0
//
// Completion tokens that let a Task await any Asio operation:
//
//   std::size_t n = co_await socket.async_read_some(buffer, use_task);             throws std::system_error
//   auto [error, n] = co_await socket.async_read_some(buffer, use_task_nothrow);   the error_code comes first
//
// The operation starts at the co_await. Cancelling the task cancels the operation through its cancellation slot, where
// the operation has one; else the task waits for it. An operation that has succeeded in spite of that gives its result,
// and Cancelled comes at the next await. A composed one (async_read) that was cancelled in the middle has read a part,
// and does not say how much: use async_read_some where that matters.
#pragma once

#include <atomic>
#include <coroutine>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>

#include <loopwatch/rt/detail/asio.hpp>

#include <asio/associated_cancellation_slot.hpp>
#include <asio/async_result.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/error.hpp>
#include <asio/execution/context.hpp>
#include <asio/post.hpp>

#include <loopwatch/rt/detail/operation_name.hpp>
#include <loopwatch/rt/detail/starting_operation.hpp>
#include <loopwatch/rt/detail/task_control.hpp>
#include <loopwatch/rt/loop.hpp>

namespace loopwatch {

// What `use_task` and `use_task_nothrow` are.
template <bool Throws>
struct UseTask {
};

// Results without a leading error_code or exception_ptr; throws std::system_error, or the exception.
inline constexpr UseTask<true> use_task{};
// All results as they come: the only one itself, else a std::tuple.
inline constexpr UseTask<false> use_task_nothrow{};

namespace detail {

template <class... Args>
auto unpack(std::tuple<Args...>&& results)
{
    if constexpr (sizeof...(Args) == 1)
        return std::get<0>(std::move(results));
    else if constexpr (sizeof...(Args) > 1)
        return std::move(results);
}

template <class First, class... Rest>
auto without_first(std::tuple<First, Rest...>&& results)
{
    return unpack(std::apply([](First&, Rest&... rest) { return std::tuple<Rest...>(std::move(rest)...); }, results));
}

// Of an operation that is not one of the loop's own context: shared by its handlers and whoever cancels it. Where the
// last handler goes without having been called, so does this, and says so.
struct ForeignOperation {
    void (*dropped)(void* operation) noexcept = nullptr;
    void* operation = nullptr;      // null: it was completed, or nobody waits any more
    std::atomic<bool> over{false};  // completed: nothing is left to cancel
    asio::cancellation_signal signal;

    ForeignOperation() = default;
    ForeignOperation(const ForeignOperation&) = delete;
    ForeignOperation& operator=(const ForeignOperation&) = delete;
    ~ForeignOperation()
    {
        if (operation != nullptr) dropped(operation);
    }
};

// One operation: its arguments until it starts, its results when it has ended. Completions on a foreign thread (an I/O
// object of another context) come through the mailbox; such an operation must end before the loop is destroyed. It is
// cancelled where its I/O object lives, if its initiation has a get_executor() (Asio's do), else on the loop's thread.
// If its handler is destroyed without being called, it ends with operation_aborted.
template <bool Throws, class Initiation, class Arguments, class... Args>
class [[nodiscard]] AsioOperation final : public Suspension, public Inbound {
    using Results = std::tuple<std::decay_t<Args>...>;
    static constexpr bool knows_executor = requires(const Initiation& initiation) { initiation.get_executor(); };

    // Of an operation of the loop's own context: it points to the operation and the operation to it, which costs no
    // allocation, but such a handler cannot be copied.
    struct Handler {
        using cancellation_slot_type = asio::cancellation_slot;
        Handler(AsioOperation& of, std::shared_ptr<ForeignOperation> shared) noexcept
            : operation(&of), foreign(std::move(shared))
        {
            if (foreign == nullptr) of.handler_ = this;
        }
        Handler(const Handler& other) requires(!knows_executor) = default;
        Handler(Handler&& other) noexcept
            : operation(std::exchange(other.operation, nullptr)), foreign(std::move(other.foreign))
        {
            if (operation != nullptr && foreign == nullptr) operation->handler_ = this;
        }
        Handler& operator=(const Handler&) = delete;
        ~Handler()
        {
            if (operation == nullptr || foreign != nullptr) return;
            operation->handler_ = nullptr;
            operation->dropped();
        }
        cancellation_slot_type get_cancellation_slot() const noexcept
        {
            return foreign != nullptr ? foreign->signal.slot() : operation->signal_.slot();
        }
        void operator()(std::decay_t<Args>... args)
        {
            if (foreign != nullptr) {
                foreign->operation = nullptr;
                foreign->over = true;
            } else {
                operation->handler_ = nullptr;
            }
            std::exchange(operation, nullptr)->complete(Results(std::move(args)...));
        }
        AsioOperation* operation;  // null: moved away, called, or its task was destroyed
        std::shared_ptr<ForeignOperation> foreign;
    };

public:
    using loop_awaitable = void;
    AsioOperation(Initiation initiation, Arguments arguments)
        : initiation_(std::move(initiation)), arguments_(std::move(arguments))
    {
    }
    AsioOperation(const AsioOperation&) = delete;
    AsioOperation& operator=(const AsioOperation&) = delete;
    ~AsioOperation()
    {
        if (const auto foreign = foreign_.lock()) foreign->operation = nullptr;
        if (handler_ != nullptr) handler_->operation = nullptr;
    }

    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> handle)
    {
        task_ = &handle.promise().task();
        static constexpr auto name = operation_name<Initiation>();
        awaited_.name = name.data();
        std::shared_ptr<ForeignOperation> foreign;
        if (!is_of_own_context()) {
            foreign = std::make_shared<ForeignOperation>();
            foreign->operation = this;
            foreign->dropped = [](void* operation) noexcept { static_cast<AsioOperation*>(operation)->dropped(); };
            foreign_ = foreign;
        }
        task_->suspend(handle, *this, &awaited_);
        const StartingOperation starting(awaited_);
        try {
            std::apply(
                [&](auto&&... args) {
                    std::move(initiation_)(Handler(*this, std::move(foreign)), std::forward<decltype(args)>(args)...);
                },
                std::move(arguments_));
        } catch (...) {
            task_->resume_at_once();
            throw;
        }
        if (state_.exchange(State::started) == State::dropped) go_on();
    }
    auto await_resume()
    {
        if (!results_) {
            if (task_->cancel_pending()) task_->deliver();
            throw std::system_error(asio::error::operation_aborted, "its handler was destroyed uncalled");
        }
        if constexpr (starts_with<std::error_code>()) {
            const std::error_code error = std::get<0>(*results_);
            if (error == asio::error::operation_aborted && task_->cancel_pending()) task_->deliver();
            if constexpr (Throws) {
                if (error) throw std::system_error(error);
                return without_first(std::move(*results_));
            } else {
                return unpack(std::move(*results_));
            }
        } else if constexpr (Throws && starts_with<std::exception_ptr>()) {
            if (std::get<0>(*results_)) std::rethrow_exception(std::get<0>(*results_));
            return without_first(std::move(*results_));
        } else {
            return unpack(std::move(*results_));
        }
    }

private:
    template <class T>
    static constexpr bool starts_with() noexcept
    {
        if constexpr (sizeof...(Args) == 0)
            return false;
        else
            return std::is_same_v<std::tuple_element_t<0, Results>, T>;
    }
    void complete(Results&& results)
    {
        results_.emplace(std::move(results));
        go_on();
    }
    void dropped() noexcept
    {
        // While it starts, what it throws comes first.
        if (state_.exchange(State::dropped) == State::started) go_on();
    }
    void go_on() noexcept
    {
        if (Loop::current() == &task_->loop()) return task_->wake();
        // A copy: the task may go on, and its loop end, before the mailbox is done with the push.
        const auto mailbox = task_->mailbox();
        mailbox->push(*this);
    }
    bool is_of_own_context() const
    {
        if constexpr (requires(const Initiation& initiation) {
                          asio::query(initiation.get_executor(), asio::execution::context);
                      })
            return &asio::query(initiation_.get_executor(), asio::execution::context) == &task_->loop().context();
        else
            return false;
    }
    void arrive(Loop* loop) noexcept override
    {
        if (loop != nullptr) task_->wake();
    }
    void interrupt() noexcept override
    {
        task_->await_next_cancellation(*this);
        const auto foreign = foreign_.lock();
        if constexpr (knows_executor) {
            if (foreign != nullptr) return cancel_there(foreign);
        }
        (foreign != nullptr ? foreign->signal : signal_).emit(asio::cancellation_type::all);
    }
    void cancel_there(const std::shared_ptr<ForeignOperation>& foreign) noexcept
    {
        try {
            asio::post(initiation_.get_executor(), [foreign] {
                if (!foreign->over) foreign->signal.emit(asio::cancellation_type::all);
            });
        } catch (...) {  // no memory to ask: it is only waited for
        }
    }

    enum class State { starting, started, dropped };

    Initiation initiation_;
    Arguments arguments_;
    asio::cancellation_signal signal_;
    std::weak_ptr<ForeignOperation> foreign_;  // empty: it is of the loop's own context
    Handler* handler_ = nullptr;               // of such an operation, until it is called
    std::atomic<State> state_{State::starting};
    TaskControl* task_ = nullptr;
    lw_awaited awaited_{LW_AWAITED_IO, -1, 0, nullptr};
    std::optional<Results> results_;
};

}  // namespace detail
}  // namespace loopwatch

template <bool Throws, class R, class... Args>
class asio::async_result<loopwatch::UseTask<Throws>, R(Args...)> {
public:
    template <class Initiation, class... Arguments>
    static auto initiate(Initiation&& initiation, loopwatch::UseTask<Throws>, Arguments&&... arguments)
    {
        using Stored = std::tuple<std::decay_t<Arguments>...>;
        return loopwatch::detail::AsioOperation<Throws, std::decay_t<Initiation>, Stored, Args...>(
            std::forward<Initiation>(initiation), Stored(std::forward<Arguments>(arguments)...));
    }
};
