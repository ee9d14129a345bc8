// SPDX-License-Identifier: Apache-2.0
//
// Which frames of a stack are a person's own code, and which belong to libc, to libraries or to the runtime that called
// it.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "stack/frame.hpp"

namespace loopwatch {

enum class FrameOwner {
    libc,     // libc and its parts, ld.so, the vDSO, our shim
    runtime,  // Asio, Boost.Asio, loopwatch's coroutine runtime; the loop that a thread was seen to wait in
    library,  // std::, header-only and installed libraries
    user,
};

FrameOwner owner_of(const Frame& frame);

// Takes our shim's frames out: it stands between the code and the function that the code calls, which is left to be as
// if it had been called by it.
void leave_out_shim(std::vector<Frame>& stack);

// Where every program or thread begins, whatever it does: main and _start.
bool is_start(const Frame& frame);

// A function of the program's own that tells one place of it from others.
bool is_named_own(const Frame& frame);

// The frame to name: the innermost of a script that was compiled at run time; else of the program's own code in the
// innermost module that has any, a plugin rather than its host: with a source line, else with a name, else any. Without
// one the loop's own function, then the innermost library function. nullptr: the stack names none.
const Frame* culprit_frame(std::span<const Frame> stack);

// "at store.cpp:42 (Store::flush)", "in Store::flush", "at order_server+0x1234"; empty for nullptr.
std::string place_text(const Frame* frame);

// The part of a stack that text shows: what hangs below the loop's dispatch (the runtime's run loop, main, the thread's
// start) is left out. Never empty unless the stack is.
struct UserPart {
    std::span<const Frame> frames;
    std::size_t hidden = 0;  // frames left out at the outer end
};
UserPart user_part(std::span<const Frame> stack);

// The public libc function by which the code entered the kernel, as canonical_call() names it: "getaddrinfo" where the
// stack passes through it, else the outermost of the libc frames at the inner end ("fwrite", not "write"). None if no
// name of theirs is known to be public.
struct LibcEntry {
    std::string call;
    std::size_t frame = 0;  // index of its frame
    bool through = false;   // a name-service or child-process function, whose inner waits are details of it
};
std::optional<LibcEntry> libc_entry(std::span<const Frame> stack);

// Equal for frames of the same function: its plain name, else module and offset.
std::string frame_identity(const Frame& frame);

}  // namespace loopwatch
