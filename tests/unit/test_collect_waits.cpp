// SPDX-License-Identifier: Apache-2.0
//
// What is read of threads that wait, from outside and from the shim's directory; this very process is read.
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <vector>

#include "collect/shim_ring.hpp"
#include "collect/unprobed_loops.hpp"

using namespace loopwatch;

namespace {

using Arguments = std::array<std::uint64_t, 6>;
using Descriptors = std::vector<std::uint64_t>;

Descriptors polled(std::int32_t syscall, const Arguments& args)
{
    return read_polled(syscall, args, Memory(::getpid()));
}

}  // namespace

TEST_CASE("of a thread that sleeps in a poll the descriptors are those of its call")
{
    const pollfd waits[] = {{5, POLLIN, 0}, {-1, POLLIN, 0}, {6, POLLIN, 0}};
    const auto address = reinterpret_cast<std::uint64_t>(waits);
    CHECK(polled(SYS_poll, {address, 3}) == Descriptors{5, 6});
    CHECK(polled(SYS_ppoll, {address, 1}) == Descriptors{5});
    CHECK(polled(SYS_poll, {8, 3}).empty());
    CHECK(polled(SYS_epoll_wait, {address, 3}).empty());
}

TEST_CASE("of one in a select they are those below its first argument, and in the set to be read")
{
    const std::array<std::uint8_t, 128> set = {0b101, 0b1};
    const auto address = reinterpret_cast<std::uint64_t>(set.data());
    CHECK(polled(SYS_select, {16, address}) == Descriptors{0, 2, 8});
    CHECK(polled(SYS_pselect6, {3, address}) == Descriptors{0, 2});
    CHECK(polled(SYS_select, {~0ull, address}) == Descriptors{0, 2, 8});
}

TEST_CASE("a thread may park on a condition variable, but a lock is no place to idle in")
{
    constexpr std::uint64_t wait = 0, wait_bitset = 9, is_private = 128, locked = 2;
    CHECK(may_park({0x1000, wait_bitset | is_private, 0, 0}));
    CHECK(may_park({0x1000, wait | is_private, 0, 0}));
    CHECK(may_park({0x1000, wait | is_private, locked, 0x2000}));
    CHECK_FALSE(may_park({0x1000, wait | is_private, locked, 0}));
}

TEST_CASE("the name of a file in the directory of rings says what it is")
{
    CHECK(ring_name("/dev/shm/loopwatch-x/4711-1") == RingName::ring);
    CHECK(ring_name("/dev/shm/loopwatch-x/4711-1~") == RingName::draft);
    CHECK(ring_name("/dev/shm/loopwatch-x/children~") == RingName::unwatched_child);
    CHECK(ring_name("/dev/shm/loopwatch-x/namespace~") == RingName::child_elsewhere);
    CHECK(ring_name("/dev/shm/loopwatch-x/grandchildren~") == RingName::draft);
}
