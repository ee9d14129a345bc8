// SPDX-License-Identifier: Apache-2.0
//
// The real kernel side and real processes, for tests/unit/test_collect_kernel_side_*.cpp: children of the test that run
// one event loop each and do what they are asked to in its callbacks. Each question is answered, or the case fails
// after a time limit: nothing sleeps to wait for another process.
#pragma once

#include <linux/capability.h>
#include <poll.h>
#include <sys/types.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collect/kernel.hpp"
#include "collect/unprobed_loops.hpp"
#include "util/fd.hpp"

namespace kernel_side {

constexpr std::uint64_t ms = 1'000'000;
constexpr int limit_ms = 20'000;  // of one answer, on a machine that is busy with other things
// A sleep or a burn of a callback, and thresholds well below: the machine may make it longer, never shorter.
constexpr std::uint64_t nap_ns = 60 * ms;
constexpr loopwatch::Thresholds thresholds = {20 * ms, 10 * ms};
constexpr loopwatch::Thresholds never = {3'600'000 * ms, 3'600'000 * ms};

// What a callback does.
enum class Act : char {
    nap = 'n',        // sleeps for nap_ns
    nap_twice = '2',  // at two places
    wait = 'w',       // reads a pipe that release() fills
    burn = 'b',       // nap_ns of CPU time
    nothing = '0',
    thread = 't',       // begins a thread that reads the pipe, and joins it
    poll_within = 'p',  // polls the pipe, in which an event loop could idle, too
    resume = 'r',       // calls resumed(), the body of a coroutine as far as the kernel side knows
    throws = 'e',       // throws an exception, and reports it as unretrieved
    fork = 'f',         // and waits for the child
    exec = 'x',         // becomes /bin/true
    spin = 's',         // the loop polls without sleeping until it is asked for something else
    quit = 'q',         // the loop returns, then the process waits for another question, and ends with status 7
};

// Probed: the loop publishes its slot and fires the probes of join.hpp. Plain: an epoll loop that knows nothing of us.
enum class LoopKind { plain, probed };

class Child {
public:
    // Forks; returns once its loop is about to wait, or, with `begun` false, before it begins.
    explicit Child(LoopKind kind, bool begun = true);
    ~Child();  // kills it
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    pid_t pid() const { return pid_; }
    std::uint32_t tid() const { return static_cast<std::uint32_t>(pid_); }
    std::uint64_t slot() const { return slot_; }        // address; 0: plain
    std::uint64_t loop_id() const { return loop_id_; }  // 0: plain

    void begin();                        // its loop
    void ask(Act act);                   // does not wait
    void answered();                     // until its callback has returned
    void does(Act act);                  // both
    void release();                      // what waits
    void is_asleep(long syscall) const;  // until it sleeps in that call
    int end();                           // status of a process that was asked to quit or exec, as of wait(2)

private:
    pid_t pid_ = -1;
    loopwatch::Fd control_, gate_;
    std::uint64_t slot_ = 0, loop_id_ = 0;
};

// A kernel side, and what it has reported.
class Session {
public:
    explicit Session(loopwatch::KernelOptions options = {});

    loopwatch::Kernel& kernel() { return *kernel_; }
    loopwatch::UnprobedLoops& unprobed() { return kernel_->unprobed(); }
    // All records that are in the ring.
    void drain();
    // Until the condition holds, drained each time. False: it did not within the limit.
    bool until(const std::function<bool()>& condition);

    template <class T>
    std::vector<T> of(std::uint32_t pid) const
    {
        std::vector<T> found;
        for (const auto& event : events)
            if (const auto* one = std::get_if<T>(&event); one && one->head.pid == pid) found.push_back(*one);
        return found;
    }
    // Those that came with their dispatch, not those of single long blocks before.
    std::vector<loopwatch::SourceEvent> places_of(std::uint32_t pid) const;
    template <class T>
    bool has(std::uint32_t pid, std::size_t count = 1)
    {
        return until([&] { return of<T>(pid).size() >= count; });
    }
    // All probes of a gate in this very program, which the children run as well.
    std::vector<loopwatch::Link> attach(loopwatch::ProbeGate gate, pid_t pid);
    // And admits it, and enters its loop, as is done with one that runs already.
    void watch_probed(const Child& child, const loopwatch::Thresholds& limits = thresholds);

    std::vector<loopwatch::Event> events;

private:
    std::unique_ptr<loopwatch::Kernel> kernel_;
    std::vector<loopwatch::Link> links_;
};

loopwatch::KernelOptions options_of(const loopwatch::Thresholds& least = thresholds);
loopwatch::Fd this_program();
// Of a function of this program, in its file.
std::uint64_t offset_of(const void* function);
void resumed();
inline const void* body()
{
    return reinterpret_cast<const void*>(&resumed);
}

// Takes effective capabilities from this thread, until it goes.
class Without {
public:
    explicit Without(std::uint64_t capabilities);
    ~Without();

private:
    std::array<__user_cap_data_struct, 2> before_ = {};
};
constexpr std::uint64_t all_capabilities = ~0ull;

}  // namespace kernel_side
