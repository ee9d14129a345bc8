// SPDX-License-Identifier: Apache-2.0
//
// Progress: one page shared by the core and its worker. Two plain words, each stored by the worker only and read by the
// core only; no order between them matters.
#pragma once

#include <atomic>
#include <cstdint>

namespace loopwatch {

struct Progress {
    std::atomic<std::uint32_t> file_id{
        0};  // the file that is being read, 0: none. Tells who is to blame when the worker dies.
    std::atomic<std::uint32_t> beats{0};  // changes while a long load goes on. Tells slow from stuck.

    void reading(std::uint32_t id) { file_id.store(id, std::memory_order_relaxed); }
    void beat() { beats.fetch_add(1, std::memory_order_relaxed); }
};

}  // namespace loopwatch
