// SPDX-License-Identifier: Apache-2.0
//
// What a coroutine ended with: a value, nothing, a reference, or an exception.
#pragma once

#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

namespace loopwatch::detail {

template <class T>
class Outcome {
    struct Nothing {};
    using Stored = std::conditional_t<std::is_void_v<T>, Nothing,
                                      std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, T>>;

public:
    template <class... V>
    void set_value(V&&... value)
    {
        if constexpr (std::is_reference_v<T>)
            state_.template emplace<1>(std::addressof(value)...);
        else
            state_.template emplace<1>(std::forward<V>(value)...);
    }
    void set_exception(std::exception_ptr error) noexcept { state_.template emplace<2>(std::move(error)); }

    bool empty() const noexcept { return state_.index() == 0; }
    std::exception_ptr error() const noexcept { return state_.index() == 2 ? std::get<2>(state_) : nullptr; }

    // Moves the value out, or throws the exception.
    T take()
    {
        if (state_.index() == 2) std::rethrow_exception(std::get<2>(state_));
        if constexpr (std::is_reference_v<T>)
            return static_cast<T>(*std::get<1>(state_));
        else if constexpr (!std::is_void_v<T>)
            return std::move(std::get<1>(state_));
    }

private:
    std::variant<std::monostate, Stored, std::exception_ptr> state_;
};

}  // namespace loopwatch::detail
