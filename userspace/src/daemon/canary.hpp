// SPDX-License-Identifier: Apache-2.0
//
// Canary: a process of ours with an event loop that blocks for 20 ms now and then, and must be found each time: that a
// daemon is alive does not say that it still sees anything.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "collect/thresholds.hpp"
#include "output/sink.hpp"
#include "util/fd.hpp"

namespace loopwatch {

class Canary {
public:
    static constexpr std::uint64_t block_ns = 20'000'000;
    static constexpr Thresholds thresholds = {10'000'000, 5'000'000};

    // Begins with its first block `first_ns` from now. It ends with this process. Fails with ExitCode::failed.
    static Result<Canary> start(std::uint64_t first_ns, std::uint64_t period_ns);
    Canary(Canary&& other) noexcept;
    Canary& operator=(Canary&&) = delete;
    ~Canary();

    pid_t pid() const noexcept { return pid_; }
    std::uint64_t period_ns() const noexcept { return period_ns_; }

private:
    Canary(pid_t pid, std::uint64_t period_ns) : pid_(pid), period_ns_(period_ns) {}
    pid_t pid_;
    std::uint64_t period_ns_;
};

// Notes when the canary was found last. Takes reports before any limit.
class CanarySink final : public Sink {
public:
    CanarySink(const Canary& canary, std::uint64_t started_ns)
        : pid_(canary.pid()), period_ns_(canary.period_ns()), found_ns_(started_ns)
    {
    }
    Result<void> take(const Report& report) override;
    Result<void> flush() override { return {}; }
    Result<void> close(bool) override { return {}; }

    std::uint64_t found() const noexcept { return found_; }
    std::uint64_t found_ns() const noexcept { return found_ns_; }  // last; when it was started: never
    // Was it found within its period and a fifth of that?
    bool is_healthy(std::uint64_t now_ns) const { return now_ns < found_ns_ + period_ns_ + period_ns_ / 5; }

private:
    std::uint32_t pid_;
    std::uint64_t period_ns_, found_ns_, found_ = 0;
};

}  // namespace loopwatch
