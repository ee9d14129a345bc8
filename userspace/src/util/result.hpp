// SPDX-License-Identifier: Apache-2.0
//
// Result<T>: what can fail at run time returns one. std::expected's vocabulary (g++ 12 has none); exceptions are for
// bugs. An Error carries what a person reads (`what`: one line, `hint`: the command or setting that mends it) and the
// exit code.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <variant>

namespace loopwatch {

// Documented in README.md, "Exit codes".
enum class ExitCode : int {
    done = 0,
    failed = 1,
    usage = 2,
    fail_on_matched = 3,
    not_permitted = 4,
    no_such_target = 5,
};

struct Error {
    ExitCode code = ExitCode::failed;
    std::string what;
    std::string hint;
};

// "what: strerror(errno)". Call it before anything that may change errno.
inline Error errno_error(ExitCode code, std::string what, std::string hint = {})
{
    const int saved = errno;
    return {code, std::move(what) + ": " + std::strerror(saved), std::move(hint)};
}

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }
    T& operator*() & { return std::get<0>(state_); }
    const T& operator*() const& { return std::get<0>(state_); }
    T&& operator*() && { return std::get<0>(std::move(state_)); }
    T* operator->() { return &std::get<0>(state_); }
    const T* operator->() const { return &std::get<0>(state_); }
    T& value() & { return std::get<0>(state_); }
    T&& value() && { return std::get<0>(std::move(state_)); }
    template <class U>
    T value_or(U&& other) const&
    {
        return has_value() ? std::get<0>(state_) : static_cast<T>(std::forward<U>(other));
    }
    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)), failed_(true) {}

    bool has_value() const noexcept { return !failed_; }
    explicit operator bool() const noexcept { return has_value(); }
    const Error& error() const& { return error_; }
    Error&& error() && { return std::move(error_); }

private:
    Error error_;
    bool failed_ = false;
};

}  // namespace loopwatch
