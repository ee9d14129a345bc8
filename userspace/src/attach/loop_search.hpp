// SPDX-License-Identifier: Apache-2.0
//
// LoopSearch: from the moment on in which the waits of a program without probes are seen, until the loops are known
// that it runs already: those that wait, those that will within a moment, and those that hang in a callback.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "attach/loop_finder.hpp"
#include "collect/observation.hpp"
#include "detect/loop.hpp"

namespace loopwatch {

class LoopSearch {
public:
    // Samples the CPU of a thread, once a period, until the result is destroyed.
    using Sample = std::function<std::unique_ptr<Sampling>(std::uint32_t tid, std::uint64_t period_ns)>;

    LoopSearch(LoopFinder& finder, Sample sample, std::uint64_t now_ns);

    // Looks at what has become known. `knows_loop`: of the program, by now.
    void go_on(bool knows_loop, std::uint64_t now_ns);
    bool is_over() const noexcept { return stage_ == Stage::over; }
    // True: it is of a thread that is suspected to hang.
    bool take(const SampleEvent& event);
    // Samples of threads that have turned out to hang.
    std::vector<SampleEvent> take_hanging();

private:
    enum class Stage { settling, sampling, naming, over };
    bool is_settled(bool knows_loop, std::uint64_t now_ns) const;
    void suspect_spinning(std::uint64_t now_ns);

    LoopFinder& finder_;
    Sample sample_;
    Stage stage_ = Stage::settling;
    std::uint64_t began_ns_, sampled_ns_ = 0;
    std::vector<std::unique_ptr<Sampling>> sampling_;
    std::vector<SampleEvent> samples_, hanging_;
};

}  // namespace loopwatch
