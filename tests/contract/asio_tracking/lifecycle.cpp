// SPDX-License-Identifier: Apache-2.0
//
// Threads that come and go, a fork, handlers that run when a thread ends, another loop on the same thread: what is a
// loop when, and that nothing breaks, also where work is cancelled, stopped or destroyed. As if somebody were attached.
// TRACKED_ELSEWHERE: its other half, built without the flag. Says what does not hold.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>
#include <vector>

#include "library.hpp"

// Of the other translation unit.
int count_elsewhere(net::io_context& context, int handlers);

#ifdef TRACKED_ELSEWHERE

int count_elsewhere(net::io_context& context, int handlers)
{
    int ran = 0;
    net::steady_timer timer(context, std::chrono::milliseconds(1));
    timer.async_wait([&](const error_code&) { ++ran; });
    for (int i = 0; i < handlers; ++i) net::post(context, [&] { ++ran; });
    context.restart();
    context.run();
    return ran - 1;
}

#else

#include <loopwatch/join.hpp>

namespace {

int loops()
{
    int count = 0;
    const std::lock_guard<std::mutex> lock(loopwatch::detail::registry_mutex);
    for (const lw_loop_slot* slot = loopwatch_registry.loops; slot != nullptr; slot = slot->next) ++count;
    return count;
}

void must(bool holds, const char* what)
{
    if (holds) return;
    std::printf("does not hold: %s\n", what);
    std::fflush(stdout);
    std::_Exit(1);
}

int run_posted(int handlers)
{
    net::io_context context(1);
    int ran = 0;
    for (int i = 0; i < handlers; ++i) net::post(context, [&] { ++ran; });
    context.run();
    return ran;
}

// Runs a handler when its thread ends, after the thread's loop.
struct AtThreadsEnd {
    net::io_context context;
    ~AtThreadsEnd()
    {
        net::post(context, [] {});
        context.run();
    }
};

// Handlers of threads that take work from each other, and cancel it.
void hammer()
{
    net::io_context context;
    auto work = net::make_work_guard(context);
    std::atomic<int> left{20000};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { context.run(); });
    struct Again {
        net::io_context& context;
        std::atomic<int>& left;
        void operator()() const
        {
            if (--left > 0)
                net::post(context, *this);
            else
                context.stop();
        }
    };
    auto strand = net::make_strand(context);
    net::steady_timer timer(context);
    for (int i = 0; i < 8; ++i) net::post(context, Again{context, left});
    for (int i = 0; i < 1000; ++i)
        net::post(strand, [&] {
            timer.expires_after(std::chrono::hours(1));
            timer.async_wait([](const error_code&) {});
        });
    for (auto& thread : threads) thread.join();
}

// What counts its copies that are alive: a handler.
struct Held {
    static inline std::atomic<int> alive{0};
    Held() { ++alive; }
    Held(const Held&) { ++alive; }
    Held& operator=(const Held&) = delete;
    ~Held() { --alive; }
};

// Of operations that are cancelled, left over by stop(), and destroyed with their context, each in turn and at random
// moments: each handler is called once or never, and destroyed.
void end_in_all_ways(unsigned rounds)
{
    std::atomic<int> called{0}, aborted{0};
    for (unsigned round = 0; round < rounds; ++round) {
        net::io_context context;
        auto strand = net::make_strand(context);
        net::steady_timer soon(context, std::chrono::microseconds(round % 300)), late(context, std::chrono::hours(1));
        const auto count = [&, held = Held()](const error_code& error) {
            ++called;
            if (error == net::error::operation_aborted) ++aborted;
        };
        soon.async_wait(count);
        late.async_wait(count);
        net::post(strand, [&, held = Held()] { late.cancel(); });
        for (int i = 0; i < 4; ++i)
            net::post(strand, [&context, round, i, held = Held()] {
                if (round % 5 == 4 && i == 2) context.stop();
                net::post(context, [held] {});
            });
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < round % 3; ++i) threads.emplace_back([&] { context.run(); });  // none: all is pending
        if (round % 7 == 6) {
            std::this_thread::sleep_for(std::chrono::microseconds(round % 100));
            context.stop();
        }
        for (auto& thread : threads) thread.join();
    }
    must(Held::alive == 0, "each handler is destroyed, called or not");
    must(aborted > 0 && called > aborted, "some were cancelled, and some were not");
}

net::io_context of_the_program;  // destroyed with an operation in it, when the main thread's loop is gone

}  // namespace

int main()
{
    loopwatch::probe::listen(true);
    must(loops() == 0, "a program that has run no handler has no loop");
    net::post(of_the_program, [] {});
    must(loops() == 0, "a thread that only posts is none");

    for (int i = 0; i < 50; ++i)
        std::thread([] {
            static thread_local AtThreadsEnd at_threads_end;
            must(run_posted(10) == 10, "handlers run");
            must(loops() == 1, "a thread that runs them is a loop");
        }).join();
    must(loops() == 0, "no longer than it lives");

    std::thread([] {
        loopwatch::LoopProbes other("other");
        other.start();
        must(run_posted(10) == 10 && loops() == 1, "within another loop a thread is no second one");
        other.stop();
        must(run_posted(10) == 10 && loops() == 1, "after it, it is one");
    }).join();

    must(run_posted(10) == 10 && loops() == 1, "the main thread is one");
    std::fflush(stdout);
    if (const pid_t child = ::fork(); child == 0) {
        must(loops() == 0, "the child of a fork has none of its parent's loops");
        must(run_posted(10) == 10 && loops() == 1, "but its own, once it runs handlers");
        std::_Exit(0);
    } else {
        int status = 0;
        must(::waitpid(child, &status, 0) == child && status == 0, "the child ends well");
    }

    net::io_context context;
    net::post(context, [] { throw std::runtime_error("thrown"); });
    try {
        context.run();
        must(false, "what a handler throws arrives");
    } catch (const std::runtime_error&) {
    }
    must((loopwatch_registry.loops->seq & 1) == 0, "and has ended its dispatch");
    net::post(context, [&] {
        net::io_context inner;
        net::post(inner, [] {});
        const auto seq = loopwatch_registry.loops->seq;
        inner.run();
        must(loopwatch_registry.loops->seq == seq && (seq & 1) == 1, "a loop within a handler is part of its dispatch");
    });
    context.restart();
    context.run();

    must(count_elsewhere(context, 100) == 100, "handlers of a part built without the flag run");
    hammer();
    end_in_all_ways(300);
    std::puts("all holds");
}

#endif
