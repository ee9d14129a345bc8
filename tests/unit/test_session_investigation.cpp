// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>

#include "../fuzz/late_worker.hpp"
#include "session/investigation.hpp"

using namespace loopwatch;

namespace {

// Ourselves, as a process that is watched.
class Target final : public WatchedProcess {
public:
    Target() : WatchedProcess(std::move(*Process::open(::getpid()))) {}
    bool read(const LoopView&, lw_loop_slot&) const override { return false; }
    bool saw_begin(const LoopView&, const lw_loop_slot&) const override { return true; }
    std::vector<int> tiers() const override { return {}; }
    const std::set<std::string>& probes() const noexcept override { return probes_; }

private:
    std::set<std::string> probes_;
};

DispatchBundle ended(const Target& target)
{
    DispatchBundle bundle;
    bundle.pid = bundle.tid = target.pid();
    bundle.closing = lw_dispatch{};
    return bundle;
}

void add_sample(DispatchBundle& bundle, std::size_t frames)
{
    SampleEvent sample = {};
    sample.head.event.pid = bundle.pid;
    sample.stack.resize(frames, 1);
    bundle.samples.push_back(std::move(sample));
}

std::size_t named(const DispatchFacts& facts)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(facts.samples, [](const SampleFacts& sample) { return !sample.stack.empty(); }));
}

}  // namespace

TEST_CASE("a finding that waits for names holds a bounded number of bytes of them")
{
    Target target;
    LateWorker worker(true);
    KernelSymbols kernel_symbols;
    Investigations all;
    auto bundle = ended(target);
    for (int i = 0; i < 600; ++i) add_sample(bundle, 1'000);
    std::optional<DispatchFacts> facts;
    investigate(std::move(bundle), target, worker, kernel_symbols, all,
                [&](DispatchFacts all_of_it) { facts = std::move(all_of_it); });
    while (worker.pending() != 0) worker.poll();
    REQUIRE(facts);
    CHECK(bytes_of(*facts) <= Investigations::max_bytes);
    CHECK(named(*facts) > 100);
    CHECK(named(*facts) + all.unnamed == 600);
    CHECK(all.waiting.held() == 0);
}

TEST_CASE("findings beyond those that may wait for names come at once, without them")
{
    Target target;
    LateWorker worker(true);
    KernelSymbols kernel_symbols;
    Investigations all;
    std::size_t done = 0, whole = 0;
    const auto begin = [&] {
        auto bundle = ended(target);
        bundle.long_blocks.resize(DispatchBook::max_long_blocks);
        add_sample(bundle, 1);
        investigate(std::move(bundle), target, worker, kernel_symbols, all, [&](const DispatchFacts& facts) {
            ++done;
            whole += facts.long_blocks.size() == DispatchBook::max_long_blocks;
        });
    };
    for (int i = 0; i < 1'000; ++i) begin();
    CHECK(all.waiting.held() <= Investigations::max_bytes);
    CHECK(worker.pending() > 100);
    CHECK(done == 1'000 - worker.pending());
    CHECK(done == all.unnamed);
    while (worker.pending() != 0) worker.poll();
    CHECK(done == 1'000);
    CHECK(whole == 1'000);
    CHECK(all.waiting.held() == 0);
}
