// SPDX-License-Identifier: Apache-2.0
//
// The target of a shim's ring, which is this very process: what waits until its files have been read.
#include <sys/auxv.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "../fuzz/late_worker.hpp"
#include "../fuzz/ring_file.hpp"
#include "attach/shim_target.hpp"
#include "util/detached.hpp"
#include "util/wall_clock.hpp"

using loopwatch::monotonic_ns;
using loopwatch::ShimTarget;

namespace {

constexpr std::size_t lane = 3;
constexpr std::uint64_t soon_ns = 5'000'000'000;

// False: not within 5 s.
bool becomes_true(const std::function<bool()>& holds)
{
    for (const auto until_ns = monotonic_ns() + soon_ns; monotonic_ns() < until_ns;) {
        if (holds()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

struct Met {
    explicit Met(bool late = false, std::uint64_t image = ::getauxval(AT_RANDOM)) : worker(late)
    {
        file.put(offsetof(lw_ring, pid), static_cast<std::uint32_t>(::getpid()));
        file.put(offsetof(lw_ring, image), image);
        auto ring = file.opened();
        REQUIRE(ring);
        auto opened = ShimTarget::open(std::move(*ring), worker, {});
        REQUIRE(opened);
        target = std::move(*opened);
    }
    bool is_open()
    {
        const auto opened = target->finish_opening(monotonic_ns());
        REQUIRE(opened);
        return *opened;
    }

    LateWorker worker;
    RingFile file;
    std::unique_ptr<ShimTarget> target;
};

}  // namespace

TEST_CASE("a process that a ring names is open once its program has been scanned")
{
    Met met(true);
    REQUIRE(becomes_true([&] { return !met.is_open() && met.worker.pending() != 0; }));
    CHECK_FALSE(met.is_open());
    met.worker.poll();
    CHECK(met.is_open());
}

TEST_CASE("a process that has become another image is open, and its program is not scanned")
{
    Met met(true, ::getauxval(AT_RANDOM) + 16);
    CHECK(becomes_true([&] { return met.is_open(); }));
    CHECK(met.worker.asked() == 0);
}

TEST_CASE("a process is opened once a thread is to be had for it, or refused after 10 s")
{
    loopwatch::detached += loopwatch::max_detached;
    Met met;
    CHECK_FALSE(met.is_open());
    const auto refused = met.target->finish_opening(monotonic_ns() + loopwatch::most_opening_ns);
    loopwatch::detached -= loopwatch::max_detached;
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().what, Catch::EndsWith("64 others have not returned"));
    CHECK(becomes_true([&] { return met.is_open(); }));
}

TEST_CASE("records of a loop that was just born wait for the files that name them, and not for ever")
{
    Met met;
    REQUIRE(becomes_true([&] { return met.is_open(); }));
    CHECK_FALSE(met.target->holds_back(monotonic_ns()));
    met.file.put(lane_at(lane, offsetof(lw_lane, tid)), static_cast<std::uint32_t>(::getpid()));
    const auto now = monotonic_ns();
    met.target->look(now);
    REQUIRE(met.target->known_loops().size() == 1);
    CHECK(met.target->holds_back(now));
    CHECK_FALSE(met.target->holds_back(monotonic_ns() + 200'000'000));
    CHECK(becomes_true([&] {
        met.target->go_on(monotonic_ns());
        return !met.target->holds_back(now);
    }));
    CHECK(met.target->next_ns(monotonic_ns()) == 0);
}
