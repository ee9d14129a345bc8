// SPDX-License-Identifier: Apache-2.0
//
// What the provocations share: somebody who ends a block, and descriptors that block.
#pragma once

#include <functional>
#include <string>
#include <thread>

// Runs `act` on another thread, once the constructing thread has been asleep (in the call under test) for block_ns.
// Joined by the destructor. `prepare` runs there too, before the constructor returns.
class Rescuer {
public:
    explicit Rescuer(
        std::function<void()> act, std::function<void()> prepare = [] {});

private:
    std::jthread thread_;
};

// Two ends of a pipe or of a stream socket; closed by the destructor.
struct Ends {
    int in, out;
    Ends(const Ends&) = delete;
    Ends(int in, int out) : in(in), out(out) {}
    ~Ends();
};
Ends pipe_ends();
Ends socket_ends();

// Writes until the next write would block; drain() makes room again.
void fill(int fd);
void drain(int fd);

// A fresh directory of this process, removed at exit; a file or fifo in it.
std::string scratch(const std::string& name);
