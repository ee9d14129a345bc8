// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <optional>

#include "../fuzz/late_worker.hpp"
#include "resolve/investigation.hpp"

using namespace loopwatch;

namespace {

// Ourselves, as a process that is watched.
class Watched final : public WatchedProcess {
public:
    Watched() : WatchedProcess(std::move(*Process::open(::getpid()))) {}
    const LoopView* find_loop(std::uint32_t tid, std::uint64_t loop_id) const override
    {
        const auto found =
            std::ranges::find_if(views_, [&](const LoopView& loop) { return loop.tid == tid && loop.id == loop_id; });
        return found == views_.end() ? nullptr : &*found;
    }
    const LoopView* loop_of(std::uint32_t) const override { return nullptr; }
    void add_loop(LoopView loop) { views_.push_back(std::move(loop)); }

private:
    std::vector<LoopView> views_;
};

DispatchBundle ended(const Watched& target)
{
    DispatchBundle bundle;
    bundle.pid = bundle.tid = target.pid();
    bundle.closing = DispatchEvent{};
    return bundle;
}

void add_sample(DispatchBundle& bundle, std::size_t frames)
{
    SampleEvent sample;
    sample.head.pid = bundle.pid;
    sample.stack.bytes.resize(frames, 1);
    bundle.samples.push_back(std::move(sample));
}

// A place in which the thread waits on a descriptor, as the kernel describes its file.
void add_wait(DispatchBundle& bundle, int syscall, int fd, mode_t mode, std::uint64_t inode)
{
    SourceEvent place;
    place.syscall = syscall;
    place.args[0] = static_cast<std::uint64_t>(fd);
    place.count = 1;
    place.file.mode = mode;
    place.file.inode = inode;
    bundle.places.push_back(std::move(place));
}

DispatchFacts facts_of(DispatchBundle bundle, Watched& target, Investigations& all)
{
    LateWorker worker(true);
    KernelSymbols kernel_symbols;
    std::optional<DispatchFacts> facts;
    investigate(std::move(bundle), target, worker, kernel_symbols, all,
                [&](DispatchFacts all_of_it) { facts = std::move(all_of_it); });
    REQUIRE(facts);
    return *facts;
}

// Both ends of a TCP connection to ourselves.
std::pair<int, int> connected()
{
    const int listening = ::socket(AF_INET, SOCK_STREAM, 0), near = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listening, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listening, 1) == 0);
    REQUIRE(::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    REQUIRE(::connect(near, reinterpret_cast<sockaddr*>(&address), size) == 0);
    const int far = ::accept(listening, nullptr, nullptr);
    ::close(listening);
    return {near, far};
}

struct stat status_of(int fd)
{
    struct stat status = {};
    REQUIRE(::fstat(fd, &status) == 0);
    return status;
}

std::size_t named(const DispatchFacts& facts)
{
    return static_cast<std::size_t>(
        std::ranges::count_if(facts.samples, [](const SampleFacts& sample) { return !sample.stack.empty(); }));
}

}  // namespace

TEST_CASE("what passed until a thread was first seen is unknown, also of a dispatch that seems to begin later")
{
    Watched target;
    Investigations all;
    auto bundle = ended(target);
    const auto unseen_ns = [&](std::uint64_t entered_ns, std::uint64_t seen_ns) {
        bundle.closing->start_ns = 300;
        bundle.closing->end_ns = 900;
        bundle.closing->entered_ns = entered_ns;
        bundle.closing->seen_ns = seen_ns;
        return facts_of(bundle, target, all).unseen_ns;
    };
    CHECK(unseen_ns(400, 400) == 100);
    CHECK(unseen_ns(400, 0) == 100);
    CHECK(unseen_ns(200, 700) == 400);
    CHECK(unseen_ns(200, 950) == 600);
    CHECK(unseen_ns(200, 200) == 0);
    CHECK(unseen_ns(0, 0) == 0);
}

TEST_CASE("a finding that waits for names holds a bounded number of bytes of them")
{
    Watched target;
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
    Watched target;
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

TEST_CASE("the last report of a dispatch knows no less of its descriptors than the first")
{
    Watched target;
    Investigations all;
    const auto [near, far] = connected();
    const int events = ::epoll_create1(0);
    const auto socket = status_of(near), epoll = status_of(events);
    const auto bundle = [&](bool in_progress) {
        auto all_of_it = ended(target);
        all_of_it.seq = 7;
        all_of_it.in_progress = in_progress;
        add_wait(all_of_it, SYS_recvfrom, near, socket.st_mode, socket.st_ino);
        add_wait(all_of_it, SYS_epoll_pwait, events, epoll.st_mode, epoll.st_ino);
        return all_of_it;
    };
    const auto first = facts_of(bundle(true), target, all);
    REQUIRE(first.blocks_by_place[0].peer.starts_with("127.0.0.1:"));
    REQUIRE(first.blocks_by_place[1].fd_target == "anon_inode:[eventpoll]");
    for (const int fd : {far, near, events}) ::close(fd);
    const auto last = facts_of(bundle(false), target, all);
    CHECK(last.blocks_by_place[0].peer == first.blocks_by_place[0].peer);
    CHECK(last.blocks_by_place[0].fd_target == first.blocks_by_place[0].fd_target);
    CHECK(last.blocks_by_place[1].fd_target == "anon_inode:[eventpoll]");
    // Of the next dispatch nothing is known, even if it bears the same number.
    CHECK(facts_of(bundle(false), target, all).blocks_by_place[1].fd_target.empty());
}

TEST_CASE("another file on a descriptor is not taken for the earlier one")
{
    Watched target;
    Investigations all;
    const int events = ::epoll_create1(0);
    const auto bundle = [&](bool in_progress, mode_t mode) {
        auto all_of_it = ended(target);
        all_of_it.in_progress = in_progress;
        add_wait(all_of_it, SYS_read, events, mode, mode == 0 ? 0 : 12345);
        return all_of_it;
    };
    REQUIRE(facts_of(bundle(true, 0), target, all).blocks_by_place[0].fd_target == "anon_inode:[eventpoll]");
    ::close(events);
    CHECK(facts_of(bundle(false, S_IFSOCK), target, all).blocks_by_place[0].fd_target == "socket:[12345]");
}

TEST_CASE("who waited is unknown for a loop without probes")
{
    Watched target;
    Investigations all;
    auto bundle = ended(target);
    bundle.loop_id = 3;
    target.add_loop({0, 3, bundle.tid, bundle.tid, ""});
    CHECK_FALSE(facts_of(bundle, target, all).impact);
    bundle.loop_id = 4;
    target.add_loop({0x1000, 4, bundle.tid, bundle.tid, ""});
    CHECK(facts_of(bundle, target, all).impact);
}
