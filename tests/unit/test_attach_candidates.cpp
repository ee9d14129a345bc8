// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <thread>

#include "attach/candidates.hpp"
#include "util/wall_clock.hpp"

using namespace loopwatch;

namespace {

constexpr std::uint64_t ms = 1'000'000;

// Chooses even pids. One that is `stuck` is answered once it may.
class EvenOnes final : public Selection {
public:
    std::optional<TargetChoice> choose(pid_t pid) const override
    {
        if (pid == stuck) {
            is_stuck.set_value();
            held.wait();
        }
        if (pid % 2 != 0) return std::nullopt;
        return TargetChoice{{static_cast<std::uint64_t>(pid), 1}, false};
    }
    std::uint64_t min_age_ns() const override { return 1'000 * ms; }

    pid_t stuck = -1;
    mutable std::promise<void> is_stuck;
    std::promise<void> may_go;
    std::shared_future<void> held = may_go.get_future().share();
};

std::vector<std::pair<pid_t, std::optional<TargetChoice>>> taken(Candidates& candidates, std::uint64_t now_ns)
{
    auto all = candidates.take_chosen(now_ns);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (all.empty() && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
        all = candidates.take_chosen(now_ns);
    }
    return all;
}

}  // namespace

TEST_CASE("a process is looked at once it is old enough, and chosen or not")
{
    Candidates candidates(std::make_shared<EvenOnes>());
    CHECK(candidates.next_ns(0) == 0);
    candidates.born(2, 0);
    candidates.born(3, 500 * ms);
    CHECK(candidates.next_ns(0) == 1'000 * ms);
    CHECK(candidates.take_chosen(999 * ms).empty());
    auto all = taken(candidates, 1'000 * ms);
    REQUIRE(all.size() == 1);
    CHECK(all[0].first == 2);
    CHECK(all[0].second->thresholds.slow_ns == 2);
    all = taken(candidates, 1'500 * ms);
    REQUIRE(all.size() == 1);
    CHECK_FALSE(all[0].second);
    CHECK(candidates.next_ns(0) == 0);
}

TEST_CASE("a process that executes another program waits anew, and is looked at once")
{
    Candidates candidates(std::make_shared<EvenOnes>());
    candidates.born(2, 0);
    candidates.born(2, 900 * ms);
    CHECK(candidates.take_chosen(1'000 * ms).empty());
    CHECK(candidates.next_ns(1'000 * ms) == 1'900 * ms);  // nothing is looked at yet
    CHECK(taken(candidates, 1'900 * ms).size() == 1);
    CHECK(candidates.looked_at() == 1);
}

TEST_CASE("what is to be looked at again goes before what is still young")
{
    Candidates candidates(std::make_shared<EvenOnes>());
    candidates.born(2, 0);
    candidates.again(4, 0);
    const auto all = taken(candidates, 10 * ms);
    REQUIRE(all.size() == 1);
    CHECK(all[0].first == 4);
}

TEST_CASE("a process that does not answer is left out, and those behind it are looked at")
{
    const auto even = std::make_shared<EvenOnes>();
    even->stuck = 4;
    Candidates candidates(even);
    for (const pid_t pid : {2, 4, 6}) candidates.again(pid, 0);
    CHECK(candidates.take_chosen(10 * ms).empty());
    even->is_stuck.get_future().wait();
    const auto late = 10 * ms + Candidates::patience_ns;
    std::vector<pid_t> pids;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (pids.size() < 2 && std::chrono::steady_clock::now() < until)
        for (const auto& [pid, choice] : candidates.take_chosen(late)) pids.push_back(pid);
    CHECK(pids == std::vector<pid_t>{2, 6});
    CHECK(candidates.missed() == 1);
    even->may_go.set_value();
}

TEST_CASE("a scan finds all processes but this one; without a selection there are no candidates")
{
    Candidates candidates(std::make_shared<EvenOnes>());
    candidates.scan(0);
    const auto all = taken(candidates, 0);
    CHECK(std::ranges::count(all, 1, [](const auto& one) { return one.first; }) == 1);
    CHECK(std::ranges::count(all, ::getpid(), [](const auto& one) { return one.first; }) == 0);
    Candidates none(nullptr);
    none.scan(0);
    none.born(2, 0);
    CHECK(none.next_ns(0) == 0);
    CHECK(none.take_chosen(UINT64_MAX).empty());
}
