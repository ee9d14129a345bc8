// SPDX-License-Identifier: Apache-2.0
//
// Reactor: waits for descriptors and for a moment, on Asio's io_context, and runs what is to happen then. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "util/result.hpp"

namespace loopwatch {

class Reactor {
public:
    enum class Ready { readable, writable };

    // Ends with it; the descriptor stays its owner's.
    class Watch {
    public:
        Watch();
        ~Watch();
        Watch(Watch&&) noexcept;
        Watch& operator=(Watch&&) noexcept;

    private:
        friend class Reactor;
        struct State;
        std::shared_ptr<State> state_;
    };

    Reactor();
    ~Reactor();
    Reactor(const Reactor&) = delete;
    Reactor& operator=(const Reactor&) = delete;

    // `then` runs within wait_until(), once in each, as long as the descriptor is ready. Fails of what is always
    // ready, as a regular file is.
    [[nodiscard]] Result<Watch> watch(int descriptor, Ready ready, std::function<void()> then);
    // Until something was ready, and what is to happen has, or CLOCK_MONOTONIC has come so far. A moment that has
    // passed: what is ready by now. `then` runs at the end, as a handler of Asio's: so that who watches us sees it.
    void wait_until(std::uint64_t time_ns, std::function<void()> then = {});

private:
    struct Context;
    std::unique_ptr<Context> context_;
};

}  // namespace loopwatch
