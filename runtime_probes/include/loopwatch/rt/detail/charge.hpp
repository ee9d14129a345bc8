// SPDX-License-Identifier: Apache-2.0
//
// A task that another one waits for to the end: a cancellation of who waits is passed on, and its end awaited.
#pragma once

#include <optional>
#include <utility>

#include <loopwatch/rt/cancelled.hpp>
#include <loopwatch/rt/spawn.hpp>

namespace loopwatch::detail {

// `while (!running.done()) charge.pass_on(co_await charge.end());`, then take().
template <class T>
class Charge {
public:
    explicit Charge(const JoinHandle<T>& running) noexcept : running_(running) {}
    Charge(const Charge&) = delete;
    Charge& operator=(const Charge&) = delete;

    QuietEndAwaiter end() const { return HandleAccess::end_of(running_); }
    void pass_on(std::optional<Interruption> interruption)
    {
        if (!interruption) return;
        running_.cancel(interruption->reason);
        request_.emplace(std::move(*interruption));
    }
    bool passed_on() const noexcept { return request_.has_value(); }

    // The result. If who waits was cancelled and the task ended with something else than Cancelled, that comes first,
    // and Cancelled at the next await.
    T take()
    {
        auto& control = HandleAccess::control(running_);
        if (!request_) return control.take();
        // Given back unless it is thrown here.
        struct PutBack {
            const Interruption* request;
            ~PutBack()
            {
                if (request != nullptr) request->put_back();
            }
        } put_back{&*request_};
        try {
            return control.take();
        } catch (const Cancelled&) {
            put_back.request = nullptr;
            throw Cancelled(request_->reason);
        }
    }

private:
    const JoinHandle<T>& running_;
    std::optional<Interruption> request_;
};

}  // namespace loopwatch::detail
