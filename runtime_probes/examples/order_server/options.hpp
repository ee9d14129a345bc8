// SPDX-License-Identifier: Apache-2.0
//
// Options: the command line of order_server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

struct Options {
    std::uint16_t port = 0;
    std::size_t loops = 1;
    std::string directory;  // of the order log; empty: one of our own
};

// Fills `options`; an exit status where the command line asks for help (0) or is wrong (2).
std::optional<int> parse(int argc, char** argv, Options& options);
