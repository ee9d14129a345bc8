// SPDX-License-Identifier: Apache-2.0
//
// WaitSites: which waits of a thread are its event loop's own, and which are made by something the loop called. Judged
// by call chains, for threads whose program tells nothing about itself; where a loop waits, an iteration ends.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "stack/frame.hpp"

namespace loopwatch {

// A place where a thread waits: the system call, the code that makes it, how deep, and for what.
struct WaitSite {
    std::uint32_t tid = 0;
    std::uint32_t syscall = 0;
    std::uint64_t ip = 0, sp = 0;
    std::uint64_t object = 0;  // descriptor of the epoll, ring or aio context; lone_poll; else 0

    friend auto operator<=>(const WaitSite&, const WaitSite&) = default;
};

// A poll of one descriptor alone, as LW_LONE_POLL.
inline constexpr std::uint64_t lone_poll = ~0ull;

WaitSite wait_site(std::uint32_t tid, std::uint32_t syscall, std::uint64_t ip, std::uint64_t sp,
                   const std::uint64_t* arguments);

struct SiteVerdict {
    WaitSite site;
    bool idle = false;  // the loop's own
};

// Does a callback of a loop that is known by the name of its function stand there?
bool hangs_in_a_callback(const std::vector<Frame>& stack);
// Does it wait in a known loop that a callback of the same loop runs?
bool runs_a_loop_inside(const std::vector<Frame>& stack);
// Does libc stand at its outer end, which called main or the thread's function?
bool reaches_the_start(const std::vector<Frame>& stack);
// Where a stack ends, as far as it could be unwound to the thread's start; 0: unknown.
std::uint64_t end_of(const std::vector<Frame>& stack);

class WaitSites {
public:
    static constexpr std::size_t max_sites = 16'384;

    // `stack` as the thread stood there, `first_argument` of the call: a park's lock, which the threads of one pool
    // share; `polled`: the descriptors of a poll or select. What is known by now of that site and, if it says so, of
    // others: the first wait that was seen may have been a callback's. Empty: the stack tells nothing, ask again.
    std::vector<SiteVerdict> judge(const WaitSite& site, const std::vector<Frame>& stack,
                                   std::uint64_t first_argument = 0, std::vector<std::uint64_t> polled = {});
    bool knows(const WaitSite& site) const { return sites_.contains(site); }
    bool idles_at(const WaitSite& site) const;
    std::vector<WaitSite> idle_sites(std::uint32_t tid) const;
    // Where the stack of its thread ends, as far as it could be unwound; 0: unknown.
    std::uint64_t stack_end(const WaitSite& site) const;
    // Is this wait for a lock the business of the loop itself, or of the pool that runs it, and of no callback? glibc
    // makes a signal wait for waiters that have no CPU, and a park wait for the pool's mutex once it is woken.
    bool is_loops_own_lock(std::uint32_t tid, std::uint32_t syscall, std::uint64_t first_argument,
                           const std::vector<Frame>& stack) const;
    // Does it have a wait of its own?
    bool is_loop(std::uint32_t tid) const;
    // Marks what the stack has in common with the waits of its thread's loop: the function that waits for events, or
    // calls one that does, and all that called it.
    void mark_loop(std::uint32_t tid, std::vector<Frame>& stack) const;
    // Has the loop of this thread returned to its thread's first function? Of a stack in which the thread is now.
    bool left_loop(std::uint32_t tid, const std::vector<Frame>& stack) const;
    // That function is part of the loop: it called the loop again. Nothing leaves this loop any more.
    void note_return(std::uint32_t tid) { returns_.insert(tid); }
    void forget(std::uint32_t tid);
    // Forgets all other threads.
    void keep(const std::set<std::uint32_t>& tids);
    std::size_t size() const noexcept { return sites_.size(); }

private:
    struct Known {
        std::vector<Frame> calls;       // real ones, from the code that called libc outwards
        std::set<std::string> inlined;  // functions that are part of those
        std::uint64_t lock = 0;
        std::vector<std::uint64_t> polled;
        bool one_thing = false;  // below getaddrinfo, system and the like
        bool joins = false;      // for another thread to end
        bool idle = false;
    };
    bool judge_park(const WaitSite& site, const Known& known) const;
    bool has_left(std::uint32_t tid, const std::vector<Frame>& calls) const;
    void judge_parks_again(std::uint32_t tid, bool all, std::vector<SiteVerdict>& revised);
    bool judge_poll(const WaitSite& site, const Known& known, std::vector<SiteVerdict>& revised);

    // Is one of the two a poll for the very epoll, ring or aio context that the other waits for? A loop may poll for it
    // beside other descriptors, and then fetch its events.
    static bool polls_for(const WaitSite& site, const Known& known, const WaitSite& other, const Known& known_other);
    void accept_polls_for(const WaitSite& site, const Known& known, std::vector<SiteVerdict>& revised);
    void accept_lone_poll(WaitSite site, std::vector<SiteVerdict>& revised);

    // What a thread that only parks is compared with: chains of waits of other threads' loops, the locks of their
    // parks.
    struct Patterns {
        std::vector<std::vector<Frame>> polls;
        std::vector<std::uint64_t> locks;
    };
    bool is_of_a_pool(const Known& park) const;
    bool learn(const WaitSite& site, const Known& known);

    std::map<WaitSite, Known> sites_;
    std::set<std::uint32_t> returns_;
    Patterns patterns_;
};

// Is it a wait for whatever comes next (epoll, poll, select, io_uring, aio), and not for one thing?
bool waits_for_events(std::uint32_t syscall);

}  // namespace loopwatch
