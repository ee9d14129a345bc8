// SPDX-License-Identifier: Apache-2.0
//
// Stacks of threads that run a loop, made of a few calls, and the places where they wait.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "analysis/wait_sites.hpp"
#include "stack/frame.hpp"

namespace loopwatch::call_stack {

inline constexpr std::uint32_t poll = 7, epoll_wait = 232, futex = 202;

struct Call {
    const char* function;
    std::uint64_t pc;   // of the call inside of it
    std::uint64_t cfa;  // of its activation
};

// From the code that called libc outwards; libc's own frames are put before and behind them.
inline std::vector<Frame> stack(std::initializer_list<Call> calls, bool stripped = false)
{
    std::vector<Frame> frames(1);
    frames[0].function = "epoll_wait";
    frames[0].module = "/usr/lib/x86_64-linux-gnu/libc.so.6";
    frames[0].offset = 0x1000;
    for (const auto& call : calls) {
        Frame frame;
        frame.module = "/srv/server";
        frame.function = stripped ? "" : call.function;
        frame.offset = call.pc;
        frame.cfa = call.cfa;
        frames.push_back(frame);
    }
    frames.push_back(frames.front());
    frames.back().function = "__libc_start_call_main";
    frames.back().offset = 0x2000;
    frames.back().cfa = 0xff00;
    return frames;
}

inline WaitSite at(std::uint32_t syscall, std::uint64_t sp, std::uint64_t object = 0, std::uint32_t tid = 1)
{
    return {tid, syscall, 0x7000 + syscall, sp, object};
}

// Asio: the reactor and the handlers are both called by do_run_one.
inline const std::initializer_list<Call> reactor = {
    {"reactor_run", 0x11, 0x9000}, {"do_run_one", 0x21, 0x9800}, {"run", 0x31, 0x9900}, {"main", 0x41, 0x9f00}};

}  // namespace loopwatch::call_stack
