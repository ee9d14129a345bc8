// SPDX-License-Identifier: Apache-2.0
//
// What is thrown where a loop has ended before what was asked of it.
#pragma once

#include <exception>

namespace loopwatch {

// Of a task: its loop was destroyed before it ended.
class LoopGone : public std::exception {
public:
    const char* what() const noexcept override { return "the loop is gone"; }
};

// Of run(): somebody called Loop::stop() before the program ended, so that there is no result.
class LoopStopped : public std::exception {
public:
    const char* what() const noexcept override { return "the loop was stopped before its program had ended"; }
};

}  // namespace loopwatch
