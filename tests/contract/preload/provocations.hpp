// SPDX-License-Identifier: Apache-2.0
//
// How to make each call of the table block, and what its report must say then.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

// A lower bound that any measurement error stays below, and long enough to be a block by anyone's standard.
constexpr std::uint64_t block_ns = 2'000'000;

struct Expected {
    int fd = -1;
    std::uint64_t arg = 0;
    std::string text = {};
    std::uint64_t at_least_ns = block_ns;  // 0: nothing makes this call slow on every machine
};

// Prepares, calls tap::clear(), then makes the call on the calling thread: the first report is the call's.
using Provocation = std::function<Expected()>;

// By symbol, not by the name shown: each row has its own.
const std::map<std::string, Provocation>& provocations();
// The part of it that provocations_of_files.cpp holds: names, streams, signals, queues, users.
const std::map<std::string, Provocation>& more_provocations();
// And those of liburing, which has a file of its own.
const std::map<std::string, Provocation>& ring_provocations();
