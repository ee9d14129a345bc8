// SPDX-License-Identifier: Apache-2.0
//
// Frame: one line of an explained stack, as it is reported.
#pragma once

#include <cstdint>
#include <string>

namespace loopwatch {

struct Frame {
    std::string function;      // demangled and tidied; empty: unknown
    std::string module;        // path as the target sees it
    std::string build_id;      // hex
    std::uint64_t offset = 0;  // what `addr2line -e module` takes
    std::string file;
    std::uint32_t line = 0;
    bool inlined = false;    // into the next frame
    bool truncated = false;  // the stack goes on, but could not be read (last frame only)
    // The import by which its caller, in whatever file, called it; empty: by no import. Not reported.
    std::string called = {};
    bool of_loop = false;   // a function that waits for the loop's events, or that called it. Not reported
    std::uint64_t cfa = 0;  // address that tells its activation on the stack from others; 0: unknown. Not reported
};

}  // namespace loopwatch
